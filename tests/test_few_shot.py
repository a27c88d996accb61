"""The few-shot benchmark end to end, on tones: trials, tables, sentences and refused recipes."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from commands import run
from few_shot_recipes import adaptation_examples, config, scored_utterances, vocoder
from helpers import RATE, tiny_base

from tts_meta.adapt import CloneSettings, Recording, Voice, adaptable_modules, clone_examples, prepare_recordings
from tts_meta.audio import prepare_waveform, read_audio
from tts_meta.corpus import Manifest, collate
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.few_shot.benchmark import run_few_shot
from tts_meta.evaluate.few_shot.results_io import read_recordings
from tts_meta.evaluate.similarity import mean_embedding
from tts_meta.evaluate.voice import COPY, REAL, score_voices
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.speaker_encoder import SpeakerEncoder
from tts_meta.report.few_shot import write_few_shot_report

RUN_TRIAL = importlib.import_module("tts_meta.evaluate.few_shot.run_trial")


NOTE = "{} of an earlier run with the same code versions ({} of {} trials), not computed in this run.\n"


def test_every_method_has_a_trial_for_every_number_of_sentences_and_steps(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = config(long_corpus, tmp_path)
    results = run_few_shot(recipe, base, vocoder(), lambda line: None)
    trials = results.trials
    combinations = [(name, n, steps) for name in ("all", "biases") for n in (1, 2) for steps in (0, 2)]
    assert [(c.learner, c.sentences, c.steps) for c in trials] == combinations
    systems = [trial.system for trial in trials]
    assert systems[1] == "all, 1 sentence, 2 steps"
    rows = [(row.system, row.id) for row in results.scores()]
    assert rows[:4] == [(system, u.id) for u in scored_utterances(recipe) for system in (REAL, COPY)]
    assert rows[4:] == [(system, u.id) for system in systems for u in scored_utterances(recipe)]
    assert trials[1].parameters == sum(module.size for module in adaptable_modules(base).modules)
    assert trials[5].parameters == sum(module.size for module in adaptable_modules(base).select(["*.bias"]).modules)
    assert trials[0].parameters == trials[0].bytes == 0  # the unchanged base
    assert all(trial.audio_file(1).exists() for trial in trials) and trials[0].embeddings.shape == (2, 256)

    voice = clone_examples(base, adaptation_examples(recipe, base, 2), CloneSettings(("*",), 2))
    unseen = [Recording(u.audio, u.text) for u in scored_utterances(recipe)]
    example = prepare_recordings(unseen, base, "ben", lambda line: None)[0]
    batch = collate([example], {"ben": -1}, base.acoustic.reduction)
    voice.save(tmp_path / "ben.voice.safetensors")
    model = Voice.load(tmp_path / "ben.voice.safetensors").apply(base)
    expected = float(acoustic_loss(model, model(batch), batch).nll) / len(example.mel)
    scores = next(trial for trial in trials if trial.system == "all, 2 sentences, 2 steps").scores[0]
    assert scores["nll"] == pytest.approx(expected, rel=1e-3)

    table = write_few_shot_report(tmp_path, results, base.config.audio.mel)
    assert table.startswith("2 unseen sentences of 1 speaker;") and "NLL per frame (nats)" in table
    few, many = (part.split("\n\n")[1].splitlines() for part in table.split("### From ")[1:])
    names = ["| all, 0 steps", "| all, 2 steps", "| biases, 0 steps", "| biases, 2 steps"]
    assert [line.split(" | ")[0] for line in few[2:]] == [f"| {REAL}", f"| {COPY}", *names]
    biases = next(trial for trial in trials if trial.system == "biases, 2 sentences, 2 steps")
    assert many[-1].endswith(f" | {biases.parameters:,} | {biases.bytes / 1024:,.0f} | {biases.cpu_seconds:.1f} |")
    lines = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert [line["parameters"] for line in lines] == [trial.parameters for trial in trials]
    assert lines[1]["bytes"] > lines[-1]["bytes"] > 0 and (tmp_path / "curves.png").exists()
    page = (tmp_path / "index.html").read_text()
    assert all(f"{system}" in page for system in ("all, 2 sentences, 2 steps", "biases, 2 sentences, 2 steps"))

    monkeypatch.setattr(RUN_TRIAL, "clone_examples", Mock(side_effect=AssertionError("computed again")))
    again = run_few_shot(recipe, base, vocoder(), lambda line: None)
    assert [trial.cpu_seconds for trial in again.trials] == [trial.cpu_seconds for trial in trials]
    assert {trial.source for trial in trials} == {"this run"} and {trial.source for trial in again.trials} == {"cache"}
    marked = write_few_shot_report(tmp_path, again, base.config.audio.mel)
    assert "†" not in table and marked.count("steps † |") == 8
    assert marked.endswith("† " + NOTE.format("read from the cache folder", 8, 8))
    assert "all, 1 sentence, 0 steps †" in (tmp_path / "index.html").read_text()
    assert again.scores() == results.scores()
    with pytest.raises(AssertionError, match="computed again"):
        run_few_shot(config(long_corpus, tmp_path, seed=1), base, vocoder(), lambda line: None)


def test_tables_of_differences_agree_with_the_scores(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learners = {"all": {"modules": ["*"]}, "biases": {"modules": ["*.bias"], "learning_rate": 1e-2}}
    recipe = config(long_corpus, tmp_path, speakers=["ann", "ben"], sentences=[2], steps=[0, 3], learners=learners)
    results = run_few_shot(recipe, base, vocoder(), lambda line: None)
    table = write_few_shot_report(tmp_path, results, base.config.audio.mel)
    nll = {
        trial.system: np.average(
            [row["nll"] for other in results.trials if other.system == trial.system for row in other.scores],
            weights=[
                row.measures["nll"].weight
                for other in results.trials
                if other.system == trial.system
                for row in other.scores
            ],
        )
        for trial in results.trials
    }
    lines = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table.splitlines()}
    best = {
        name: min(nll[f"{name}, 2 sentences, 0 steps"], nll[f"{name}, 2 sentences, 3 steps"])
        for name in ("all", "biases")
    }
    shown = float(lines["biases"][2].split(" [")[0])
    assert shown == pytest.approx(best["biases"] - best["all"], abs=0.06)
    rates = results.error_rates()
    recordings = read_recordings(tmp_path / "recordings.jsonl")
    assert [row for speaker in recordings for row in speaker.scores] == [clip.scores for clip in results.spoken]
    assert {speaker.speaker for speaker in recordings} == {"ann", "ben"}
    for speaker in recordings:
        np.testing.assert_allclose(speaker.voice, results.voices[speaker.speaker], atol=1e-3)
    assert set(rates) == {REAL, COPY, *nll}
    assert all(0 <= rate.low <= rate.mean <= rate.high <= 1 for rate in rates.values())
    assert f"{rates[REAL].mean:.3f}" in next(line for line in table.splitlines() if REAL in line)


def test_the_cost_of_adaptation_is_processor_time(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(*arguments: object, **named: object) -> Voice:
        time.sleep(0.3)
        return clone_examples(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(RUN_TRIAL, "clone_examples", waiting)
    start, wall_start = time.process_time(), time.perf_counter()
    recipe = config(long_corpus, tmp_path, sentences=[1], steps=[1], learners={"all": {"modules": ["*"]}})
    trial = run_few_shot(recipe, base, vocoder(), lambda line: None).trials[0]
    assert 0 < trial.cpu_seconds < time.process_time() - start
    assert time.perf_counter() - wall_start > trial.cpu_seconds + 0.3


def test_the_scored_sentences_depend_on_the_size_of_the_support_pool(long_corpus: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(long_corpus / "manifest.jsonl")
    full, partial = (config(long_corpus, tmp_path, sentences=n, support_pool=2).choose(manifest) for n in ([1, 2], [1]))
    assert full == partial == config(long_corpus, tmp_path).choose(manifest)
    assert full != config(long_corpus, tmp_path, sentences=[1]).choose(manifest)


def test_similarity_is_measured_to_sentences_neither_adapted_on_nor_scored(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    manifest = Manifest.load(long_corpus / "manifest.jsonl")
    recipes = [
        config(long_corpus, tmp_path),
        config(long_corpus, tmp_path, seed=5),
        config(long_corpus, tmp_path, sentences=[1], score_on=3, longest=20.0),
    ]
    chosen = [recipe.choose(manifest)["ben"] for recipe in recipes]
    for sentences in chosen:
        lists = sentences.adapt_on, sentences.score_on, sentences.references
        audio = [{utterance.audio for utterance in utterances} for utterances in lists]
        assert len(set.union(*audio)) == sum(map(len, audio)) and len(sentences.references) == 5
        assert sentences.references == chosen[0].references, "the same in every recipe"
    lengths = sorted((u.seconds for u in manifest if u.speaker == "ben"), reverse=True)
    assert sorted((u.seconds for u in chosen[0].references), reverse=True) == lengths[:5]

    results = run_few_shot(recipes[0], base, vocoder(), lambda line: None)
    encoder = SpeakerEncoder.load()

    def embed(path: Path) -> np.ndarray:
        return encoder.embed(prepare_waveform(read_audio(path, RATE), base.config.audio, str(path)), RATE)

    voice = mean_embedding([embed(u.audio) for u in chosen[0].references])
    for trial in results.trials:
        for row, embedding in zip(trial.scores, trial.embeddings, strict=True):
            assert row["similarity"] == pytest.approx(float(voice @ embedding), abs=1e-4)
    real = next(sentence for sentence in results.spoken if sentence.system == REAL)
    assert real.scores["similarity"] == pytest.approx(float(voice @ embed(real.utterance.audio)), abs=1e-5)
    with pytest.raises(UsageError, match=r"\.wav is a reference for similarity and is scored too"):
        score_voices(base, {}, vocoder(), chosen[0].score_on, Mock(), chosen[0].score_on[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentences": [0]}, "sentences must be 1 or more"),
        ({"support_pool": 1}, "support_pool is 1, but 2 sentences are requested"),
        ({"steps": [-1]}, "steps must be 0 or more"),
        ({"learners": {"one": {"sentences": [0]}}}, "sentences must be 1 or more"),
        ({"learners": {"one": {"learner": "lora", "modules": ["speaker.mean"]}}}, "LoRA adapts linear"),
        ({"sentences": [30]}, "32 are needed"),
        ({"learners": {"none": {"modules": ["nothing"]}}}, "no module matches 'nothing'"),
        ({"learners": {"wide": {"prior_scale": 2.0}}}, "prior_scale scales the base's learned prior"),
    ],
)
def test_impossible_recipes_are_refused(
    base: Base, long_corpus: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises((UsageError, TtsMetaError), match=message):
        run_few_shot(config(long_corpus, tmp_path, **changes), base, vocoder(), lambda line: None)


def test_the_command_runs_the_benchmark_that_the_recipe_is_for(
    long_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_base(tiny_base(), tmp_path / "base")
    recipe = config(
        long_corpus, tmp_path / "run", base=tmp_path / "base", vocoder="griffin-lim", sentences=[1], steps=[0]
    )
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    result = run(capsys, "benchmark", tmp_path / "recipe.yaml")
    assert result.status == 0 and "### From 1 sentence\n" in result.out and "| biases | " in result.out
    assert run(capsys, "benchmark", tmp_path / "none.yaml").failed(1, "cannot read", "none.yaml")
