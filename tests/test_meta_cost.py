"""Memory of a meta-step: it does not grow with the tasks, and grows with the inner steps only for unrolled learners.

recipes/meta_cost measures it in bytes.
"""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor
from toy_domains import (
    TRAINABLE,
    Net,
    likelihood_of,
    make_trainer,
    most_saved,
    regression_loss,
    regression_task,
)

from tts_meta.meta import GradientDescent, ShrinkagePrior, run_inner_loop


def saved_values(name: str, steps: int = 3, tasks: int = 2) -> int:
    """The largest number of values saved for derivatives during a meta-step."""
    trainer = make_trainer(name, {"inner_steps": steps, "inner_lr": 1e-3, "cg_max_iters": 5})
    return most_saved(lambda: trainer.step([regression_task(seed) for seed in range(tasks)]))


@pytest.mark.parametrize("name", TRAINABLE)
def test_memory_does_not_grow_with_the_number_of_tasks(name: str) -> None:
    assert 0 < saved_values(name, tasks=4) <= saved_values(name, tasks=1)


@pytest.mark.parametrize("name", ["sigma-imaml", "sigma-reptile", "imaml", "reptile", "fomaml"])
def test_memory_does_not_grow_with_the_inner_steps_of_learners_that_do_not_unroll(name: str) -> None:
    assert 0 < saved_values(name, 40) == saved_values(name, 4)


@pytest.mark.parametrize("name", ["maml", "sigma-maml"])
def test_memory_of_unrolled_learners_grows_with_the_inner_steps(name: str) -> None:
    assert saved_values(name, 40) > 8 * saved_values(name, 4)


def test_a_loop_without_a_graph_keeps_one_step_at_a_time() -> None:
    likelihood = likelihood_of(Net(), regression_loss)
    layout = likelihood.adapted
    task, alive = regression_task(0), []

    def nll(params: Tensor, step: int) -> Tensor:
        alive.append(sum(type(item) is Tensor and item.numel() == layout.size for item in gc.get_objects()))
        return likelihood.nll(params, torch.zeros(0), [task.support])

    start = torch.zeros(layout.size, dtype=torch.float64)
    prior = ShrinkagePrior(layout, torch.zeros(len(layout.modules), dtype=torch.float64))
    run_inner_loop(nll, start, prior, GradientDescent(), lambda step: 1e-3, 12)
    assert max(alive[3:]) <= alive[2]
