"""Memory of a meta-step grows with neither the tasks nor, but where steps are unrolled, with the inner steps.

What it costs in bytes: recipes/meta_cost.
"""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor
from toy_domains import Net, make_learner, modules_of, most_saved, regression_loss, regression_task

from tts_meta.meta import (
    LEARNERS,
    Domain,
    GradientDescent,
    LearnerSettings,
    ParameterLayout,
    ShrinkagePrior,
    run_inner_loop,
)


def needed(name: str, steps: int = 3, tasks: int = 2) -> int:
    """Values kept for derivatives at the worst moment of a meta-step."""
    learner = make_learner(name, LearnerSettings(inner_steps=steps, inner_lr=1e-3, cg_max_iters=5))
    return most_saved(lambda: learner.meta_step([regression_task(seed) for seed in range(tasks)]))


@pytest.mark.parametrize("name", LEARNERS)
def test_memory_does_not_grow_with_the_number_of_tasks(name: str) -> None:
    assert 0 < needed(name, tasks=4) <= needed(name, tasks=1)


@pytest.mark.parametrize("name", ["sigma-imaml", "sigma-reptile", "imaml", "reptile", "fomaml"])
def test_a_meta_step_keeps_no_more_for_many_inner_steps_than_for_few(name: str) -> None:
    assert 0 < needed(name, 40) == needed(name, 4)


@pytest.mark.parametrize("name", ["maml", "sigma-maml"])
def test_unrolling_keeps_every_step(name: str) -> None:
    assert needed(name, 40) > 8 * needed(name, 4)


def test_a_solve_without_a_graph_holds_one_step_at_a_time() -> None:
    model = Net()
    layout = ParameterLayout.from_modules(model, modules_of(model))
    domain = Domain(model, regression_loss, layout)
    task, alive = regression_task(0), []

    def nll(params: Tensor, step: int) -> Tensor:
        alive.append(sum(type(item) is Tensor and item.numel() == layout.size for item in gc.get_objects()))
        return domain.nll(params, torch.zeros(0), [task.support])

    start = torch.zeros(layout.size, dtype=torch.float64)
    prior = ShrinkagePrior(layout, torch.zeros(len(layout.modules), dtype=torch.float64))
    run_inner_loop(nll, start, prior, GradientDescent(), lambda step: 1e-3, 12)
    assert max(alive[3:]) <= alive[2]
