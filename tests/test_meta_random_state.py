"""Gradient modes and random draws: results depend on the seed alone, and the caller's state does not change."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from helpers import random_state_kept, same_weights
from torch import Tensor, nn
from toy_domains import EVERY, TRAINABLE, Net, net_of, regression_task
from toy_models import (
    TASKS,
    Dropping,
    every_learner,
    learner_of,
    trainable_learner,
    trainer_of,
    with_random_draws,
)

from tts_meta.meta import Adapted, Budget, MetaLearner, MetaTrainer, Task


@pytest.mark.parametrize(("name", "mode"), [(n, torch.inference_mode) for n in EVERY] + [("maml", torch.no_grad)])
def test_inference_mode_and_no_grad_do_not_change_results(name: str, mode: Callable[[], Any]) -> None:
    """Tasks, model and learner are made in this mode too."""

    def run(inside: Any) -> tuple[nn.Module, Adapted, Tensor, bool]:
        with inside:
            trained = trainer_of(net_of(), name) if name in TRAINABLE else learner_of(net_of(), name)
            learner = trained.learner if isinstance(trained, MetaTrainer) else trained
            tasks = [regression_task(seed) for seed in range(3)]
            if isinstance(trained, MetaTrainer):
                trained.step(tasks)
            actual = learner.adapt([tasks[0]], Budget(3))
            scores = learner.score(learner.start(), [tasks[0].query])
            return trained, actual, scores, torch.is_grad_enabled()

    trained, actual, scores, grad = run(mode())
    expected, other, other_scores, _ = run(nullcontext())
    assert same_weights(trained, expected) and torch.equal(actual.losses, other.losses) and not grad
    assert same_weights(actual.params, other.params) and torch.equal(scores, other_scores)
    if isinstance(trained, MetaTrainer) and isinstance(expected, MetaTrainer):
        assert trained.step(TASKS).loss_after == pytest.approx(expected.step(TASKS).loss_after, rel=1e-12)


@pytest.mark.parametrize(("name", "vectorised"), [(n, False) for n in EVERY] + [("sigma-maml", True)])
def test_random_models_and_draws_do_not_change_the_callers_generators(name: str, vectorised: bool) -> None:
    tasks = [with_random_draws(task) for task in TASKS]
    with random_state_kept():
        learner = learner_of(Dropping(), name, vectorised=vectorised)
        if learner.trainable:
            MetaTrainer(learner, tasks_at_once=3).step(tasks)
        learner.adapt([tasks[0]], Budget(2))
        learner.adapt(tasks, Budget(2))
        learner.adapt(tasks, Budget.plateau(60))
        learner.score(learner.start(), [tasks[0].query])
        tasks[0].at(3)
        if learner.iterative:
            with pytest.raises(ZeroDivisionError):
                learner.adapt([Task((1, 2), draw=lambda step: 1 // 0)], Budget(2))


@trainable_learner
@pytest.mark.parametrize("vectorised", [False, True])
def test_random_models_give_the_same_results_in_parallel_and_one_at_a_time(name: str, vectorised: bool) -> None:
    tasks = [with_random_draws(task) for task in TASKS]
    trainer = trainer_of(Dropping(), name, vectorised=vectorised, tasks_at_once=3)
    assert_equal_to_single_tasks(trainer.learner, tasks)
    other = trainer_of(Dropping(), name)
    torch.randn(3)
    metrics, expected = trainer.step(tasks), other.step(tasks)
    assert metrics.loss_after == pytest.approx(expected.loss_after, rel=1e-10)
    assert metrics.loss_before == pytest.approx(expected.loss_before, rel=1e-10)
    torch.testing.assert_close(trainer.state_dict(), other.state_dict(), atol=1e-9, rtol=1e-9)


def assert_equal_to_single_tasks(learner: MetaLearner, tasks: list[Task]) -> None:
    together = learner.adapt(tasks, Budget(4))
    for index, task in enumerate(tasks):
        torch.randn(3), random.random()  # pyright: ignore[reportUnusedExpression]
        alone = learner.adapt([task], Budget(4))
        torch.testing.assert_close(together.losses[:, index], alone.losses[:, 0], atol=1e-11, rtol=1e-11)
        torch.testing.assert_close(together.task(index), alone.task(0), atol=1e-11, rtol=1e-11)


@every_learner
def test_random_draws_do_not_make_the_result_of_a_task_depend_on_the_other_tasks(name: str) -> None:
    assert_equal_to_single_tasks(learner_of(Dropping(), name), [with_random_draws(task) for task in TASKS])


def test_every_inner_step_and_every_meta_step_draws_different_numbers() -> None:
    seen: list[float] = []

    class Watched(Net):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(float(torch.rand(())))
            return super().forward(x)

    trainer, budget = trainer_of(Watched(), "fomaml"), Budget(4)
    trainer.learner.adapt([TASKS[0]], budget)
    first = list(seen)
    assert len(set(first)) == 4
    trainer.learner.adapt([TASKS[1]], budget)
    assert seen[4:] == first, "a function of the seed and the step alone"
    del seen[:]
    trainer.step(TASKS[:1])
    once = list(seen)
    trainer.step(TASKS[:1])
    assert not set(once) & set(seen[len(once) :]) and len(seen) == 2 * len(once)
    other = learner_of(Watched(), "fomaml", seed=1)
    del seen[:]
    other.adapt([TASKS[0]], budget)
    assert not set(seen) & set(first)


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_any_integer_is_a_seed(seed: int) -> None:
    trainer, other = (trainer_of(Dropping(), "maml", seed=value) for value in (seed, 0))
    task, learner = with_random_draws(TASKS[0]), trainer.learner
    assert trainer.step([task]).loss_after != other.step([task]).loss_after
    assert learner.score(learner.start(), [TASKS[0].query]).isfinite().all()
    losses = [each.learner.adapt([task], Budget(2)).losses for each in (trainer, other)]
    assert not torch.equal(*losses)
