"""The result folder of the cloning benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tts_meta.audio.mel import MelConfig
from tts_meta.corpus import Utterance
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.score_files import read_scores
from tts_meta.evaluate.scores import Scores
from tts_meta.evaluate.voice import Spoken
from tts_meta.report.cloning import write_cloning_report


def _spoken(speaker: str, sentence: str, system: str, similarity: float) -> Spoken:
    utterance = Utterance(sentence, speaker, Path("x.wav"), 1.0, f"Words of {sentence}.")
    scores = Scores(sentence, speaker, system, {"similarity": Measure(similarity), "cer": Measure(0.1, 20.0)})
    return Spoken(utterance, system, np.zeros(2205, np.float32), 22050, scores)


def test_the_report_writes_tables_scores_and_a_page_with_audio_players(tmp_path: Path) -> None:
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


def test_the_log_has_the_first_sentences_of_the_first_speakers_by_each_system(tmp_path: Path) -> None:
    readers = [f"reader{number}" for number in range(10)]
    spoken = [
        _spoken(reader, f"{reader}-{number}", system, 0.9)
        for reader in readers
        for number in range(3)
        for system in ("real recording", "copy-synthesis")
    ]
    spoken += [_spoken("own", f"{readers[0]}-{number}", "synthesised, training speakers", 0.8) for number in range(3)]
    spoken += [_spoken("new", "new-0", system, 0.8) for system in ("clone", "mean voice", "another system")]
    write_cloning_report(tmp_path, spoken, MelConfig(), "Own")
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    pairs = [(reader, n, name) for reader in readers[:8] for n in (1, 2) for name in ("1_real", "2_copy_synthesis")]
    pairs += [("own", n, "3_training_speaker") for n in (1, 2)]
    pairs += [("new", 1, name) for name in ("3_base", "4_clone", "5_another_system")]
    names = {f"{speaker}/sentence_{number}/{name}" for speaker, number, name in pairs}
    tags = events.Tags()
    assert set(tags["audio"]) == {f"audio/{name}" for name in names}
    assert set(tags["images"]) == {f"mel/{name}" for name in names}
    assert events.Scalars("similarity/clone")[0].value == pytest.approx(0.8)
