"""Memory of implicit learners does not grow with the inner steps. What it costs in bytes: recipes/meta_cost."""

from __future__ import annotations

import gc

import pytest
import torch
from meta_problems import Net, modules_of, regression_loss, regression_task
from torch import Tensor

from tts_meta.meta import GradientDescent, Layout, LearnerSettings, MetaLearner, Problem, ShrinkagePrior, solve


class Saved:
    """Counts the bytes that autograd graphs keep alive: now, and at most so far."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def keep(self, value: Tensor) -> Kept:
        return Kept(self, value)


class Kept:
    """A tensor saved for a derivative."""

    def __init__(self, count: Saved, value: Tensor) -> None:
        self.count, self.value = count, value
        count.now += value.nbytes
        count.most = max(count.most, count.now)

    def __del__(self) -> None:
        self.count.now -= self.value.nbytes


def most_saved(name: str, steps: int) -> int:
    """Bytes kept for derivatives at the worst moment of a meta-step."""
    model, count = Net(torch.float32), Saved()
    roles = {"head": ["head"], "context": ["context"]}
    settings = LearnerSettings(inner_steps=steps, inner_rate=1e-3, linear_steps=5)
    learner = MetaLearner(name, model, regression_loss, modules_of(model), settings, roles=roles)
    with torch.autograd.graph.saved_tensors_hooks(count.keep, lambda kept: kept.value):
        learner.meta_step([regression_task(seed, torch.float32) for seed in range(2)])
    return count.most


@pytest.mark.parametrize("name", ["sigma-imaml", "sigma-reptile", "imaml", "reptile", "fomaml"])
def test_a_meta_step_keeps_no_more_for_many_inner_steps_than_for_few(name: str) -> None:
    assert 0 < most_saved(name, 40) == most_saved(name, 4)


@pytest.mark.parametrize("name", ["maml", "sigma-maml"])
def test_unrolling_keeps_every_step(name: str) -> None:
    assert most_saved(name, 40) > 8 * most_saved(name, 4)


def test_a_solve_without_a_graph_holds_one_step_at_a_time() -> None:
    model = Net()
    layout = Layout.of(model, modules_of(model))
    problem = Problem(model, regression_loss, layout, Layout.of(model, ()))
    task, alive = regression_task(0), []

    def nll(params: Tensor, step: int) -> Tensor:
        alive.append(sum(type(item) is Tensor and item.numel() == layout.size for item in gc.get_objects()))
        return problem.nll(params, torch.zeros(0), [task.support])

    start = torch.zeros(layout.size, dtype=torch.float64)
    prior = ShrinkagePrior(layout, torch.zeros(len(layout.modules), dtype=torch.float64))
    solve(nll, start, prior, GradientDescent(), lambda step: 1e-3, 12)
    assert max(alive[3:]) <= alive[2]
