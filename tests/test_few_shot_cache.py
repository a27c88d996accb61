"""Cached trials of the few-shot benchmark: what is computed again, and what is read."""

from __future__ import annotations

import importlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from few_shot_recipes import config, vocoder

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.few_shot.benchmark import run_few_shot
from tts_meta.evaluate.few_shot.results_io import read_trials, write_trials
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.report.few_shot import write_few_shot_report

RUN_TRIAL = importlib.import_module("tts_meta.evaluate.few_shot.run_trial")


VOICE_KEY = importlib.import_module("tts_meta.adapt.voice_key")


def test_a_voice_is_made_once_for_different_metrics(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"learners": {"all": {"modules": ["*"]}}, "steps": [2]}
    first = run_few_shot(config(long_corpus, tmp_path, **settings), base, vocoder(), lambda line: None)

    monkeypatch.setattr(RUN_TRIAL, "clone_examples", Mock(side_effect=AssertionError("computed again")))
    scoring = {"metrics": ["similarity", "variance"], "score_on": 1}
    again = run_few_shot(config(long_corpus, tmp_path, **settings, **scoring), base, vocoder(), lambda line: None)
    for trial, before in zip(again.trials, first.trials, strict=True):
        assert trial.voice_file == before.voice_file and trial.key != before.key
        assert trial.cpu_seconds == before.cpu_seconds
        assert trial.key.split("/")[0] == before.key.split("/")[0]
        assert {"variance", "similarity", "nll"} <= set(trial.scores[0].measures) and len(trial.scores) == 1


def test_trials_of_another_machine_are_not_computed_again(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"speakers": ["ann", "ben"], "sentences": [2]}
    first = run_few_shot(config(long_corpus, tmp_path / "there", **settings), base, vocoder(), lambda line: None)
    write_few_shot_report(tmp_path / "there", first, base.config.audio.mel)

    monkeypatch.setattr(RUN_TRIAL, "clone_examples", Mock(side_effect=AssertionError("computed again")))
    recipe = config(long_corpus, tmp_path / "here", cached_results=tmp_path / "there" / "trials.jsonl", **settings)
    renamed = recipe.learners | {"everything": recipe.learners["all"]}
    recipe = recipe.model_copy(update={"learners": renamed})
    again = run_few_shot(recipe, base, vocoder(), lambda line: None)
    assert [row for row in again.scores() if "everything" not in row.system] == first.scores()
    rates = first.error_rates()
    assert {name: rate for name, rate in again.error_rates().items() if name in rates} == rates
    assert {row["nll"] for row in again.scores() if "everything, 2 sentences, 2" in row.system} == {
        row["nll"] for row in again.scores() if "all, 2 sentences, 2" in row.system
    }
    assert not any(trial.has_audio for trial in again.trials) and {trial.source for trial in again.trials} == {
        "cached_results"
    }
    table = write_few_shot_report(tmp_path / "here", again, base.config.audio.mel)
    assert table.startswith("4 unseen sentences of 2 speakers;")
    shown = {line.split(" | ")[0]: line.split(" | ")[1:-1] for line in table.split("\n\n")[2].splitlines()}
    assert shown["| everything, 2 steps ‡"] == shown["| all, 2 steps ‡"]
    page = (tmp_path / "here" / "index.html").read_text()
    assert page.count("<audio") == 2 * 2  # two recordings of each speaker, no voices
    with pytest.raises(AssertionError, match="computed again"):
        run_few_shot(recipe.model_copy(update={"seed": 1}), base, vocoder(), lambda line: None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "cannot read trials"),
        ("{", "line 2 is not a trial"),
        ('{"key": 1}', "line 2 is not a trial"),
        ("a key of another form", "line 2 is not a trial"),
    ],
)
def test_an_error_names_a_file_that_has_no_trials(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "trials.jsonl"
    write_trials(path, [])
    assert read_trials(path) == {}
    if line:
        trial = Trial(
            "all", "ben", 1, None, 3, tmp_path / "voice" / "scoring", 4, 5, 0.5, (), np.ones((1, 256), np.float32)
        )
        write_trials(path, [trial])
        if line.startswith("a key"):
            line = path.read_text().strip().replace("voice/scoring", "voice")
        path.write_text(path.read_text() + line + "\n")
    else:
        path.unlink()
    with pytest.raises(TtsMetaError, match=f"trials.jsonl.*{message}|{message}.*trials.jsonl"):
        read_trials(path)


def test_a_trial_of_an_older_version_is_computed_again(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = config(long_corpus, tmp_path, sentences=[1], steps=[1], learners={"all": {"modules": ["*"]}})
    first = run_few_shot(recipe, base, vocoder(), lambda line: None).trials[0]
    cached = recipe.model_copy(update={"output": tmp_path / "other", "cached_results": tmp_path / "trials.jsonl"})
    write_trials(tmp_path / "trials.jsonl", [first])
    messages: list[str] = []
    assert run_few_shot(cached, base, vocoder(), messages.append).trials[0].source == "cached_results"
    assert messages == ["ben: all, 1 sentence, 1 step (cached_results)"]
    monkeypatch.setattr(VOICE_KEY, "CLONE_VERSION", 99)
    for changed in (recipe, cached):
        again = run_few_shot(changed, base, vocoder(), lambda line: None).trials[0]
        assert again.source == "this run" and again.key != first.key


def test_another_prior_changes_only_trials_that_use_the_prior(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learners = {"ours": {}, "all": {"modules": ["*"], "variance": 1.0}, "lora": {"learner": "lora"}}
    recipe = config(long_corpus, tmp_path, sentences=[2], steps=[1], learners=learners)

    def folders(variance: float, base_scale: float = 1.0, scale: float | None = None) -> list[Path]:
        learned = base.with_prior(ModulePrior({"speaker.mean": variance}, prior_scale=base_scale))
        ours = recipe.learners["ours"].model_copy(update={"prior_scale": scale})
        changed = recipe.model_copy(update={"learners": recipe.learners | {"ours": ours}})
        return [trial.folder for trial in run_few_shot(changed, learned, vocoder(), lambda line: None).trials]

    first = folders(1e-2)
    assert [a == b for a, b in zip(first, folders(1e-3), strict=True)] == [False, True, True]
    assert folders(1e-2, base_scale=4.0) == folders(1e-2, scale=4.0) and folders(1e-2, scale=4.0)[0] != first[0]
