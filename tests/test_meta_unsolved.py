"""Implicit gradients of linear systems that are not solved: the report, and the gradient that is used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from toy_domains import (
    Blocks,
    Quadratic,
    make_learner,
    modules_of,
    quadratic_loss,
    quadratic_task,
    regression_task,
)

from tts_meta.meta import LearnerSettings, MetaLearner, MetaStepMetrics, Task

implicit = pytest.mark.parametrize("name", ["sigma-imaml", "sigma-reptile", "imaml"])
TASKS = [regression_task(seed) for seed in range(4)]
SETTINGS = LearnerSettings(inner_lr=0.004, inner_steps=3, outer_lr=0.01)


def mean_query_loss(learner: MetaLearner, tasks: list[Task]) -> float:
    flat = [learner.domain.adapted.flatten(actual.params)[None] for actual in learner.adapt_many(tasks, 3)]
    scores = [learner.score(row, [task.query]) for row, task in zip(flat, tasks, strict=True)]
    return float(torch.cat(scores).mean())


def trained(learner: MetaLearner, tasks: list[Task], steps: int, unbounded: bool = False) -> list[MetaStepMetrics]:
    """Metrics of some meta-steps. All values stay finite. The query loss falls, unless the support has no minimum."""
    before = mean_query_loss(learner, tasks)
    metrics = [learner.meta_step(tasks) for _ in range(steps)]
    assert mean_query_loss(learner, tasks) < 0.8 * before or unbounded
    assert all(bool(value.isfinite().all()) for value in learner.state_dict().values())
    assert all(step.skipped == 0 for step in metrics)
    return metrics


@implicit
def test_an_unsolved_linear_system_is_counted_and_training_continues(name: str) -> None:
    settings = SETTINGS.model_copy(update={"cg_max_iters": 1, "tolerance": 1e-9, "variance": 0.02})
    for step in trained(make_learner(name, settings), TASKS, 30):
        assert step.outcomes == {"truncated": 4} and step.residual > 1e-9 and step.hessian_products == 4


def negative_curvature_task(seed: int, curvature: float) -> Task:
    """A support with negative curvature along every axis, and a query with positive curvature."""
    task = quadratic_task(seed)
    return replace(task, support=Quadratic(-curvature * torch.eye(7, dtype=torch.float64), task.support.centre))


@implicit
@pytest.mark.parametrize("linear_solver, outcome", [("cg", "negative_curvature"), ("neumann", "diverged")])
def test_an_indefinite_system_is_counted_and_training_continues(name: str, linear_solver: str, outcome: str) -> None:
    settings = SETTINGS.model_copy(update={"variance": 4.0, "variance_lr": 0.0, "linear_solver": linear_solver})
    model, tasks = Blocks(), [negative_curvature_task(seed, 1.0) for seed in range(4)]
    learner = MetaLearner(name, model, quadratic_loss, modules_of(model), settings)
    # σ-Reptile's φ follows the support.
    for step in trained(learner, tasks, 60, unbounded=name == "sigma-reptile"):
        assert step.outcomes == {outcome: 4}


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("curvature", [1.0, 1e6])
def test_at_negative_curvature_in_the_first_step_phi_follows_the_query_alone(curvature: float, centred: bool) -> None:
    """For any curvature of the support: its Hessian is not used, also not for the shared parameters."""
    settings = SETTINGS.model_copy(
        update={"inner_steps": 0, "centred": centred, "outer_solver": "sgd", "outer_lr": 1.0, "variance": 4.0}
    )
    task, model = negative_curvature_task(0, curvature), Blocks()
    mixed = task.support.curvature.clone()
    mixed[0, 5] = mixed[5, 0] = curvature
    task = replace(task, support=Quadratic(mixed, task.support.centre))
    learner = MetaLearner("imaml", model, quadratic_loss, modules_of(model), settings, modules=["a", "b"])
    before = torch.cat([learner.adapted, learner.shared]).detach()
    assert learner.meta_step([task]).outcomes == {"negative_curvature": 1}
    gradient = task.query.curvature @ (before - task.query.centre)
    torch.testing.assert_close(before - torch.cat([learner.adapted, learner.shared]).detach(), gradient)
