"""The recipe recipes/few_shot/learners.yaml at miniature size: every learner is cloned from its files and scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from documentation import ROOT
from few_shot_recipes import vocoder
from helpers import tiny_base
from meta_train_runs import SHORT, TRAINABLE, short_meta_recipe

from tts_meta.adapt import Voice
from tts_meta.config import load_config
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, FewShotResults, run_few_shot
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.meta import LEARNERS
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.report.few_shot import write_few_shot_report
from tts_meta.train.meta_train import meta_train

RECIPE = ROOT / "recipes" / "few_shot" / "learners.yaml"
SETTINGS = SHORT | {"inner_solver": "adam", "inner_lr": 1e-4, "step_lr": 1e-6}
"""Settings with which no voice of the tiny base diverges."""
BASELINES = ("mean-voice", "nearest", "zero-shot", "lora")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learners")


@pytest.fixture(scope="module")
def shipped(folder: Path) -> Base:
    """A base in place of the shipped one."""
    base = tiny_base()
    save_base(base, folder / "base")
    return base


@pytest.fixture(scope="module")
def results(folder: Path, shipped: Base, meta_corpus: Path, long_corpus: Path) -> FewShotResults:
    """The benchmark of the recipe, with each learner meta-trained for one step, and of the baselines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in TRAINABLE:
            output, trainer = Path("runs", "few_shot_learners", name), {"outer_lr": 1e-5}
            meta_train(short_meta_recipe(meta_corpus, output, learner=name, settings=SETTINGS, trainer=trainer))
        changes = [f"manifest={long_corpus / 'manifest.jsonl'}", "speakers=[ben]", "output=out", "longest=12"]
        changes += ["score_on=1", "metrics=[similarity]", "sentences=[2]", "steps=[2]"]
        changes += [f"learners.{name}.learner={name}" for name in BASELINES]
        changes += ["learners.decoder.learner=finetune-all", "learners.decoder.modules=[decoder.*]"]
        config = load_config(RECIPE, FewShotBenchmark, changes)
        return run_few_shot(config, shipped, vocoder(), lambda line: None)


def trials_of(results: FewShotResults) -> dict[str, Trial]:
    return {trial.learner: trial for trial in results.trials}


def voice_of(trial: Trial, folder: Path) -> Voice:
    return Voice.load(folder / trial.voice_file)


def test_the_recipe_has_every_learner_that_can_be_meta_trained(results: FewShotResults) -> None:
    assert set(trials_of(results)) == {*TRAINABLE, *BASELINES, "clone", "decoder"}
    assert set(LEARNERS) == {*TRAINABLE, *BASELINES} and len(TRAINABLE) == 14
    assert len(results.trials) == len(trials_of(results))


def test_every_voice_speaks_and_is_scored(results: FewShotResults, folder: Path) -> None:
    for name, trial in trials_of(results).items():
        assert {"similarity", "nll"} <= set(trial.scores[0].measures), name
        assert np.isfinite([trial.scores[0]["similarity"], trial.scores[0]["nll"]]).all(), name
        samples, _ = soundfile.read(folder / trial.audio_file(0))
        assert len(samples) > 1000 and np.isfinite(samples).all(), name


def test_every_learner_adapts_the_base_that_it_was_meta_trained_with(
    results: FewShotResults, shipped: Base, folder: Path
) -> None:
    trials = trials_of(results)
    for name in TRAINABLE:
        trained = load_base(folder / "runs" / "few_shot_learners" / name / "base")
        voice = voice_of(trials[name], folder)
        assert voice.base_hash == trained.hash and voice.steps == trials[name].steps_done == 2, name
        assert trained.learner is not None and trained.learner.learner == name
        assert set(voice.modules) <= set(trained.learner.modules) and any(d.any() for d in voice.deltas.values()), name
    for name in (*BASELINES, "clone", "decoder"):
        assert voice_of(trials[name], folder).base_hash == shipped.hash, name


def test_learners_without_inner_steps_have_one_trial_of_no_steps(results: FewShotResults) -> None:
    trials = trials_of(results)
    for name, trial in trials.items():
        learner = LEARNERS.get(name, LEARNERS["maml"])
        assert (trial.steps, trial.steps_done) == ((2, 2) if learner.iterative else (0, 0)), name
    assert trials["mean-voice"].parameters == trials["mean-voice"].bytes == 0
    assert all(trial.parameters > 0 for name, trial in trials.items() if name != "mean-voice")


def test_a_part_of_the_modules_can_be_fine_tuned(results: FewShotResults, folder: Path) -> None:
    assert all(name.startswith("decoder.") for name in voice_of(trials_of(results)["decoder"], folder).modules)


def test_the_report_has_a_row_for_every_learner(
    results: FewShotResults, shipped: Base, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    table = write_few_shot_report(folder / "report", results, shipped.config.audio.mel)
    for name, trial in trials_of(results).items():
        assert f"| {name}{f', {trial.steps} steps' if trial.steps else ''} | " in table
