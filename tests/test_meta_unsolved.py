"""Implicit gradients of linear systems that are not solved: the report, and the gradient that is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from toy_domains import (
    Blocks,
    Quadratic,
    gradient_learner,
    make_trainer,
    modules_of,
    quadratic_loss,
    quadratic_task,
    regression_task,
)

from tts_meta.meta import Budget, Domain, MetaLearner, MetaStepMetrics, MetaTrainer, Task

implicit = pytest.mark.parametrize("name", ["sigma-imaml", "sigma-reptile", "imaml"])
TASKS = [regression_task(seed) for seed in range(4)]
SETTINGS: dict[str, Any] = {"inner_lr": 0.004, "inner_steps": 3, "outer_lr": 0.01}


def mean_query_loss(learner: MetaLearner, tasks: list[Task]) -> float:
    adapted = learner.adapt(tasks, Budget(3))
    return float(learner.score(adapted.params, [task.query for task in tasks]).mean())


def trained(trainer: MetaTrainer, tasks: list[Task], steps: int, unbounded: bool = False) -> list[MetaStepMetrics]:
    """Metrics of some meta-steps. All values stay finite. The query loss falls, unless the support has no minimum."""
    before = mean_query_loss(trainer.learner, tasks)
    metrics = [trainer.step(tasks) for _ in range(steps)]
    assert mean_query_loss(trainer.learner, tasks) < 0.8 * before or unbounded
    assert all(bool(value.isfinite().all()) for value in trainer.state_dict().values())
    assert all(step.skipped == 0 for step in metrics)
    return metrics


@implicit
def test_an_unsolved_linear_system_is_counted_and_training_continues(name: str) -> None:
    settings = SETTINGS | {"cg_max_iters": 1, "tolerance": 1e-9, "variance": 0.02}
    for step in trained(make_trainer(name, settings), TASKS, 30):
        assert step.counts == {"linear_solver/truncated": 4, "hessian_products": 4}
        assert step.statistics["residual"] > 1e-9


def negative_curvature_task(seed: int, curvature: float) -> Task:
    """A support with negative curvature along every axis, and a query with positive curvature."""
    task = quadratic_task(seed)
    return replace(task, support=Quadratic(-curvature * torch.eye(7, dtype=torch.float64), task.support.centre))


def blocks() -> Domain:
    model = Blocks()
    return Domain(model, quadratic_loss, modules_of(model))


def outcomes_of(metrics: MetaStepMetrics) -> dict[str, int]:
    """Number of linear solves with each outcome."""
    prefix = "linear_solver/"
    return {name.removeprefix(prefix): count for name, count in metrics.counts.items() if name.startswith(prefix)}


@implicit
@pytest.mark.parametrize("linear_solver, outcome", [("cg", "negative_curvature"), ("neumann", "diverged")])
def test_an_indefinite_system_is_counted_and_training_continues(name: str, linear_solver: str, outcome: str) -> None:
    settings = SETTINGS | {"variance": 4.0, "variance_lr": 0.0, "linear_solver": linear_solver}
    tasks = [negative_curvature_task(seed, 1.0) for seed in range(4)]
    # σ-Reptile's φ follows the support.
    for step in trained(make_trainer(name, settings, blocks()), tasks, 60, unbounded=name == "sigma-reptile"):
        assert outcomes_of(step) == {outcome: 4}


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("curvature", [1.0, 1e6])
def test_at_negative_curvature_in_the_first_step_phi_follows_the_query_alone(curvature: float, centred: bool) -> None:
    """For any curvature of the support: its Hessian is not used, also not for the shared parameters."""
    changes = {"inner_steps": 0, "centred": centred, "outer_solver": "sgd", "outer_lr": 1.0, "variance": 4.0}
    task = negative_curvature_task(0, curvature)
    mixed = task.support.curvature.clone()
    mixed[0, 5] = mixed[5, 0] = curvature
    task = replace(task, support=Quadratic(mixed, task.support.centre))
    trainer = make_trainer("imaml", SETTINGS | changes, blocks(), modules=["a", "b"])
    learner = gradient_learner(trainer)
    before = torch.cat([learner.adapted, learner.shared]).detach()
    assert outcomes_of(trainer.step([task])) == {"negative_curvature": 1}
    gradient = task.query.curvature @ (before - task.query.centre)
    torch.testing.assert_close(before - torch.cat([learner.adapted, learner.shared]).detach(), gradient)
