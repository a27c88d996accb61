"""The cloning benchmark's folder of results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tts_meta.config import MelConfig
from tts_meta.corpus import Utterance
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.scores import Scores
from tts_meta.evaluate.table import read_scores
from tts_meta.evaluate.voice import Spoken
from tts_meta.report.cloning import write_cloning_report


def _spoken(speaker: str, sentence: str, system: str, similarity: float) -> Spoken:
    utterance = Utterance(sentence, speaker, Path("x.wav"), 1.0, f"Words of {sentence}.")
    scores = Scores(sentence, speaker, system, {"similarity": Measure(similarity), "cer": Measure(0.1, 20.0)})
    return Spoken(utterance, system, np.zeros(2205, np.float32), 22050, scores)


def test_tables_scores_and_a_page_with_players_are_written(tmp_path: Path) -> None:
    spoken = [
        _spoken(speaker, f"{speaker}-{number}", system, similarity)
        for speaker in ("ann", "bob")
        for number in range(3)
        for system, similarity in (("real recording", 0.9), ("clone", 0.8))
    ]
    table = write_cloning_report(tmp_path, spoken, MelConfig(), "Cloned")
    assert "| clone | 2 | 6 | 0.800 [0.800, 0.800]" in table
    assert table in (tmp_path / "table.md").read_text() and "clone / bob" in (tmp_path / "table.md").read_text()
    assert read_scores(tmp_path / "scores.jsonl") == [one.scores for one in spoken]
    page = (tmp_path / "index.html").read_text()
    assert page.count("<audio") == 2 * 2 * 2  # speakers, sentences shown, systems
    assert "Words of ann-0." in page and "Words of ann-2." not in page
