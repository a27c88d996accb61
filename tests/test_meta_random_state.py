"""Gradient modes and random draws: results depend on the seed alone, and the caller's state does not change."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from helpers import random_state_kept, same_weights
from torch import Tensor
from toy_domains import Net, make_learner, net_of, regression_task
from toy_models import SETTINGS, TASKS, Dropping, every_learner, with_random_draws

from tts_meta.meta import LEARNERS, MetaLearner, Task


@pytest.mark.parametrize(("name", "mode"), [(n, torch.inference_mode) for n in LEARNERS] + [("maml", torch.no_grad)])
def test_inference_mode_and_no_grad_do_not_change_results(name: str, mode: Callable[[], Any]) -> None:
    """Tasks, model and learner are made in this mode too."""

    def run(inside: Any) -> tuple[MetaLearner, Tensor, bool]:
        with inside:
            learner = make_learner(name, SETTINGS, net_of())
            tasks = [regression_task(seed) for seed in range(3)]
            learner.meta_step(tasks)
            actual = learner.adapt(tasks[0], 3)
            learner.score(learner.adapted.detach()[None], [tasks[0].query])
            return learner, actual.losses, torch.is_grad_enabled()

    learner, losses, grad = run(mode())
    expected, other, _ = run(nullcontext())
    assert same_weights(learner, expected) and torch.equal(losses, other) and not grad
    assert learner.meta_step(TASKS).loss_after == pytest.approx(expected.meta_step(TASKS).loss_after, rel=1e-12)


@pytest.mark.parametrize(("name", "vectorised"), [(n, False) for n in LEARNERS] + [("sigma-maml", True)])
def test_random_models_and_draws_do_not_change_the_callers_generators(name: str, vectorised: bool) -> None:
    tasks = [with_random_draws(task) for task in TASKS]
    with random_state_kept():
        learner = make_learner(name, SETTINGS, Dropping(), vectorised=vectorised, tasks_at_once=3)
        learner.meta_step(tasks)
        learner.adapt(tasks[0], 2)
        learner.adapt_many(tasks, 2)
        learner.score(learner.adapted.detach()[None], [tasks[0].query])
        tasks[0].at(3)
        with pytest.raises(ZeroDivisionError):
            learner.adapt(Task((1, 2), draw=lambda step: 1 // 0), 2)


@every_learner
@pytest.mark.parametrize("vectorised", [False, True])
def test_random_models_give_the_same_results_in_parallel_and_one_at_a_time(name: str, vectorised: bool) -> None:
    tasks = [with_random_draws(task) for task in TASKS]
    learner = make_learner(name, SETTINGS, Dropping(), vectorised=vectorised, tasks_at_once=3)
    for actual, task in zip(learner.adapt_many(tasks, 4), tasks, strict=True):
        torch.randn(3), random.random()  # pyright: ignore[reportUnusedExpression]
        alone = learner.adapt(task, 4)
        torch.testing.assert_close(actual.losses, alone.losses, atol=1e-11, rtol=1e-11)
        torch.testing.assert_close(actual.params, alone.params, atol=1e-11, rtol=1e-11)
    other = make_learner(name, SETTINGS, Dropping())
    torch.randn(3)
    metrics, expected = learner.meta_step(tasks), other.meta_step(tasks)
    assert metrics.loss_after == pytest.approx(expected.loss_after, rel=1e-10)
    assert metrics.loss_before == pytest.approx(expected.loss_before, rel=1e-10)
    torch.testing.assert_close(learner.adapted, other.adapted, atol=1e-9, rtol=1e-9)


def test_every_inner_step_and_every_meta_step_draws_different_numbers() -> None:
    seen: list[float] = []

    class Watched(Net):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(float(torch.rand(())))
            return super().forward(x)

    learner = make_learner("fomaml", SETTINGS, Watched())
    learner.adapt(TASKS[0], 4)
    first = list(seen)
    assert len(set(first)) == 4
    learner.adapt(TASKS[1], 4)
    assert seen[4:] == first, "a function of the seed and the step alone"
    del seen[:]
    learner.meta_step(TASKS[:1])
    once = list(seen)
    learner.meta_step(TASKS[:1])
    assert not set(once) & set(seen[len(once) :]) and len(seen) == 2 * len(once)
    other = make_learner("fomaml", SETTINGS, Watched(), seed=1)
    del seen[:]
    other.adapt(TASKS[0], 4)
    assert not set(seen) & set(first)


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_any_integer_is_a_seed(seed: int) -> None:
    learner, other = (make_learner("maml", SETTINGS, Dropping(), seed=value) for value in (seed, 0))
    task = with_random_draws(TASKS[0])
    assert learner.meta_step([task]).loss_after != other.meta_step([task]).loss_after
    assert learner.score(learner.adapted.detach()[None], [TASKS[0].query]).isfinite().all()
    assert not torch.equal(learner.adapt(task, 2).losses, other.adapt(task, 2).losses)
