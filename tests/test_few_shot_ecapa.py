"""The few-shot benchmark with both speaker encoders: scores, equal error rates, tables, result files and cache."""

from __future__ import annotations

import importlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from few_shot_recipes import config, vocoder
from helpers import RATE

from tts_meta.audio import prepare_waveform, read_audio
from tts_meta.corpus import Manifest
from tts_meta.evaluate.few_shot.benchmark import FewShotResults, run_few_shot
from tts_meta.evaluate.few_shot.results_io import read_recordings, read_trials
from tts_meta.evaluate.similarity import voice_embedding
from tts_meta.evaluate.voice import COPY, REAL
from tts_meta.models.ecapa_encoder import EcapaEncoder
from tts_meta.models.pretrained import Base
from tts_meta.report.few_shot import write_few_shot_report

RUN_TRIAL = importlib.import_module("tts_meta.evaluate.few_shot.run_trial")
SETTINGS = {"speakers": ["ann", "ben"], "sentences": [1], "steps": [1], "metrics": ["similarity", "similarity_ecapa"]}
SYSTEM = "all, 1 sentence, 1 step"


def run(base: Base, corpus: Path, output: Path, **changes: object) -> FewShotResults:
    recipe = config(corpus, output, **SETTINGS | {"learners": {"all": {"modules": ["*"]}}} | changes)
    return run_few_shot(recipe, base, vocoder(), lambda line: None)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ecapa")


@pytest.fixture(scope="module")
def results(base: Base, long_corpus: Path, output: Path) -> FewShotResults:
    return run(base, long_corpus, output)


@pytest.fixture(scope="module")
def table(results: FewShotResults, base: Base, output: Path) -> str:
    return write_few_shot_report(output, results, base.config.audio.mel)


def test_the_second_similarity_is_the_centred_cosine_to_the_references(
    results: FewShotResults, base: Base, long_corpus: Path, output: Path
) -> None:
    encoder, recipe = EcapaEncoder.load(), config(long_corpus, output, **SETTINGS)
    references = recipe.choose(Manifest.load(recipe.manifest))["ben"].references
    prepared = [prepare_waveform(read_audio(u.audio, RATE), base.config.audio, str(u.audio)) for u in references]
    voice = voice_embedding(encoder, [(samples, RATE) for samples in prepared])
    trial = next(trial for trial in results.trials if trial.speaker == "ben")
    assert trial.ecapa_embeddings.shape == (2, encoder.config.embedding)
    for row, embedding in zip(trial.scores, trial.ecapa_embeddings, strict=True):
        assert row["similarity_ecapa"] == pytest.approx(float(voice @ embedding), abs=1e-3)
        assert row["similarity_ecapa"] != row["similarity"]


def test_the_table_has_both_similarities_and_both_equal_error_rates(results: FewShotResults, table: str) -> None:
    head = next(line for line in table.splitlines() if line.startswith("| System"))
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    assert columns[1:3] == ["Similarity ↑", "ECAPA similarity, centred ↑"]
    assert columns[-5:-3] == ["EER ↓", "ECAPA EER ↓"]
    rates = results.ecapa_error_rates()
    assert set(rates) == {REAL, COPY, SYSTEM} == set(results.error_rates())
    row = next(line for line in table.splitlines() if line.startswith(f"| {REAL}"))
    assert row.split(" | ")[-4] == rates[REAL].shown(3)


def test_the_page_and_the_result_files_have_the_second_similarity(
    results: FewShotResults, table: str, output: Path
) -> None:
    assert "ECAPA similarity, centred" in (output / "index.html").read_text("utf-8")
    trials = read_trials(output / "trials.jsonl")
    for trial in results.trials:
        read = trials[trial.key]
        assert read.scores == trial.scores
        np.testing.assert_allclose(read.ecapa_embeddings, trial.ecapa_embeddings, atol=1e-3)
    for speaker in read_recordings(output / "recordings.jsonl"):
        assert speaker.ecapa_voice is not None and len(speaker.ecapa_embeddings) == len(speaker.scores) == 4
        np.testing.assert_allclose(speaker.ecapa_voice, results.ecapa_voices[speaker.speaker], atol=1e-3)
        assert all("similarity_ecapa" in row.measures for row in speaker.scores)


def test_cached_trials_have_the_same_equal_error_rates(
    results: FewShotResults, table: str, base: Base, long_corpus: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN_TRIAL, "clone_examples", Mock(side_effect=AssertionError("computed again")))
    cached = run(base, long_corpus, output)
    assert {trial.source for trial in cached.trials} == {"cache"}
    assert cached.ecapa_error_rates() == results.ecapa_error_rates()
    elsewhere = run(base, long_corpus, output / "other", cached_results=output / "trials.jsonl")
    assert {trial.source for trial in elsewhere.trials} == {"cached_results"}
    assert elsewhere.ecapa_error_rates()[SYSTEM].mean == pytest.approx(
        results.ecapa_error_rates()[SYSTEM].mean, abs=1e-3
    )


def test_without_its_metric_the_second_encoder_is_not_used(
    base: Base, long_corpus: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EcapaEncoder, "load", Mock(side_effect=AssertionError("loaded")))
    plain = run(base, long_corpus, output, metrics=["similarity"])
    assert plain.ecapa_error_rates() == {} and plain.recordings()[0].ecapa_voice is None
    table = write_few_shot_report(output / "plain", plain, base.config.audio.mel)
    assert "EER ↓" in table and "ECAPA" not in table
    assert all(not len(trial.ecapa_embeddings) for trial in read_trials(output / "plain" / "trials.jsonl").values())
