"""The learner of docs/extending.md, one class and one decorator, from meta-training to the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from documentation import ROOT, blocks
from few_shot_recipes import config, vocoder
from helpers import same_weights, similar_examples
from meta_train_runs import meta_recipe
from toy_domains import regression_domain

from tts_meta import speak
from tts_meta.adapt import CloneSettings, Voice, clone_examples
from tts_meta.errors import UsageError
from tts_meta.evaluate.few_shot.benchmark import run_few_shot
from tts_meta.meta import LEARNERS, MetaStepMetrics, MetaTrainer, Task, create_learner
from tts_meta.models.pretrained import Base, load_base
from tts_meta.train.meta_train import MetaTrainConfig, meta_train

NAME = "output-bias"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the class of the guide for the time of a test."""
    (source,) = [
        block.text for block in blocks(ROOT / "docs" / "extending.md", "python") if f'@register("{NAME}"' in block.text
    ]
    monkeypatch.setitem(LEARNERS, NAME, LEARNERS["maml"])  # removed at the end of the test
    del LEARNERS[NAME]
    exec(compile(source, "docs/extending.md", "exec"), {"__name__": "guide"})


@pytest.fixture
def recipe(meta_corpus: Path, tmp_path: Path) -> MetaTrainConfig:
    trainer = {"outer_lr": 0.1}
    return meta_recipe(meta_corpus, tmp_path / "run", learner=NAME, settings={"frames": 50.0}, trainer=trainer)


def test_the_learner_of_the_guide_meta_trains_saves_clones_and_speaks(recipe: MetaTrainConfig, base: Base) -> None:
    folder = meta_train(recipe)
    trained = load_base(folder)
    assert trained.learner is not None and trained.learner.learner == NAME and trained.learner.meta_steps == 3
    log_frames = trained.learner.tensors["log_frames"]
    assert abs(float(log_frames) - float(torch.tensor(50.0).log())) > 0.05, "meta-training moves it"
    examples = similar_examples(base)
    voice = clone_examples(trained, examples[:3], CloneSettings(hold_out=1))
    assert voice.scores["held_out_after"] < voice.scores["held_out_before"]
    changed = {name for name, delta in voice.deltas.items() if bool(delta.any())}
    assert changed == {"decoder.output.bias"}
    path = folder / "a.voice.safetensors"
    voice.save(path)
    assert len(speak(Voice.load(path), "abc de.", base=trained).samples) > 1000


def test_the_learner_of_the_guide_resumes_exactly(recipe: MetaTrainConfig, tmp_path: Path) -> None:
    straight = load_base(meta_train(recipe)).learner
    steps, taken = list[MetaTrainer](), MetaTrainer.step

    def interrupt(trainer: MetaTrainer, tasks: Sequence[Task]) -> MetaStepMetrics:
        if len(steps) == 2:
            raise KeyboardInterrupt
        steps.append(trainer)
        return taken(trainer, tasks)

    other = recipe.model_copy(update={"output": tmp_path / "other"})
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetaTrainer, "step", interrupt)
        meta_train(other)
    resumed = load_base(meta_train(other)).learner
    assert straight is not None and resumed is not None and same_weights(straight.tensors, resumed.tensors)


def test_the_learner_of_the_guide_stands_in_a_benchmark(
    recipe: MetaTrainConfig, long_corpus: Path, base: Base, tmp_path: Path
) -> None:
    learners = {"ours": {"learner": str(meta_train(recipe))}, "untrained": {"learner": NAME}}
    few_shot = config(long_corpus, tmp_path / "benchmark", learners=learners, sentences=[2])
    trials = run_few_shot(few_shot, base, vocoder(), lambda line: None).trials
    assert [(trial.learner, trial.steps) for trial in trials] == [("ours", 0), ("untrained", 0)]
    assert all("similarity" in row.measures for trial in trials for row in trial.scores)


def test_a_domain_without_a_linear_head_and_a_wrong_setting_are_refused() -> None:
    with pytest.raises(UsageError, match=f"learner '{NAME}' needs a linear output layer with its inputs and targets"):
        create_learner(NAME, regression_domain(linear_head=None))
    with pytest.raises(UsageError, match=f"learner '{NAME}': unknown key 'inner_lr'; valid here: frames"):
        create_learner(NAME, regression_domain(), {"inner_lr": 0.1})
