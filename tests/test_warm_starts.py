"""Warm starts of meta-training: they reach the same minimum in fewer steps, also in two processes and after a stop."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import error_line
from meta_train_runs import meta_recipe, whole_and_resumed, write_meta_corpus
from processes import in_two_processes
from safetensors.torch import load_file
from toy_domains import make_trainer, regression_task

from tts_meta.errors import UsageError
from tts_meta.meta import Budget, MetaTrainer, Task
from tts_meta.meta.solvers.warm_starts import WarmStarts
from tts_meta.train import load_checkpoint, save_checkpoint
from tts_meta.train.meta_train import meta_train

TASKS = [regression_task(seed) for seed in range(3)]
SETTINGS: dict[str, Any] = {
    "inner_solver": "l-bfgs",
    "inner_steps": 15,
    "variance": 0.2,
    "variance_lr": 0.05,
    "outer_lr": 0.001,
    "cg_max_iters": 100,
    "warm_start": True,
}


def trainer_of(**changes: Any) -> MetaTrainer:
    return make_trainer("sigma-imaml", SETTINGS | changes)


def stationarity(trainer: MetaTrainer, steps: int) -> list[float]:
    return [trainer.step(TASKS).statistics["stationarity"] for _ in range(steps)]


def test_each_visit_continues_and_comes_nearer_to_the_minimum() -> None:
    """Each visit has few steps and does not reach the minimum. The meta-parameters do not change."""
    fixed = {"inner_steps": 4, "variance_lr": 0.0, "outer_lr": 0.0}
    warm, cold = (stationarity(trainer_of(warm_start=start, **fixed), 12) for start in (True, False))
    assert cold == pytest.approx([cold[0]] * 12), "without warm starts each visit is the same"
    assert warm[0] == pytest.approx(cold[0]) and warm[-1] < 0.1 * cold[0]


def test_the_solution_is_that_of_a_start_at_the_meta_parameters() -> None:
    trainer = trainer_of(inner_steps=300)
    for _ in range(3):
        trainer.step(TASKS)
    learner = trainer.learner
    gradient = learner.meta_gradient([TASKS[0]])
    assert float(gradient.statistics["stationarity"]) < 2e-3
    adapted = learner.adapt([TASKS[0]], Budget(300))
    expected = torch.cat([value[0].flatten() for value in adapted.displacements.values()])
    torch.testing.assert_close(learner.task_state()[TASKS[0].name], expected, atol=0.01, rtol=0.01)


def test_a_checkpoint_continues_bit_for_bit(tmp_path: Path) -> None:
    whole, first = trainer_of(), trainer_of()
    for _ in range(5):
        whole.step(TASKS)
    for _ in range(3):
        first.step(TASKS)
    state = first.learner.task_state()
    save_checkpoint(tmp_path / "c", first, first.optimiser, None, {"step": 3}, state)
    second = trainer_of()
    load_checkpoint(tmp_path / "c", second, second.optimiser, None, second.learner.load_task_state)
    for _ in range(2):
        second.step(TASKS)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in whole.state_dict().items())
    assert state.keys() == {task.name for task in TASKS}


@cache
def trained() -> dict[str, Any]:
    """The state and the solutions after meta-steps whose tasks change their places, and so their processes."""
    trainer = trainer_of()
    for step in range(4):
        trainer.step(TASKS[step % 3 :] + TASKS[: step % 3])
    return {"state": trainer.state_dict(), "solutions": trainer.learner.task_state()}


def test_two_processes_share_the_solutions(tmp_path: Path) -> None:
    alone = trained()
    for results in in_two_processes(trained, tmp_path):
        for part in ("state", "solutions"):
            assert results[part].keys() == alone[part].keys()
            for name, value in alone[part].items():
                torch.testing.assert_close(results[part][name], value, atol=1e-9, rtol=1e-9)


def test_a_solution_that_is_not_finite_is_not_kept() -> None:
    starts, phi = WarmStarts(), torch.zeros(2)
    starts.keep(TASKS[:2], torch.tensor([[1.0, 2.0], [torch.nan, 0.0]]))
    assert torch.equal(starts.start(TASKS[:2], phi), torch.tensor([[1.0, 2.0], [0.0, 0.0]]))


def test_faults_are_named() -> None:
    unnamed = Task(TASKS[0].support, TASKS[0].query)
    assert error_line(lambda: trainer_of().step([unnamed]), UsageError).startswith("warm_start needs tasks with names")
    line = error_line(lambda: trainer_of(inner_solver="adam"), UsageError)
    assert line == "warm_start needs the inner solver that minimises; set inner_solver to l-bfgs"
    line = error_line(lambda: trainer_of().learner.load_task_state({"a": torch.zeros(3)}), UsageError)
    assert line.startswith("the solution of task 'a' has the shape (3,), not (")
    maml = make_trainer("maml", {"inner_steps": 1}).learner
    line = error_line(lambda: maml.load_task_state({"a": torch.zeros(3)}), UsageError)
    assert line == "learner 'maml' keeps nothing about single tasks; delete the checkpoint"


def test_meta_training_of_speech_repeats_its_episodes_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_meta_corpus(tmp_path / "corpus")
    settings = {"inner_solver": "l-bfgs", "inner_steps": 3, "variance": 1e-4, "warm_start": True, "cg_max_iters": 3}

    def run(folder: str) -> dict[str, torch.Tensor]:
        changes = {"learner": "sigma-imaml", "settings": settings, "episodes": 2, "meta_steps": 4}
        meta_train(meta_recipe(corpus, tmp_path / folder, **changes))
        return load_file(tmp_path / folder / "training" / "tensors.safetensors")

    whole, resumed = whole_and_resumed(run, monkeypatch)
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[name], whole[name]) for name in whole)
    names = {name.removeprefix("task.") for name in whole if name.startswith("task.")}
    assert {name.rpartition("/")[2] for name in names} == {"0", "1"} and len(names) == 4, "two episodes of two speakers"
