"""Properties of every learner. A learner added to `LEARNERS` is tested here without further code."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers import same_weights
from torch import Tensor, nn
from torch.func import functional_call
from toy_domains import Net, make_learner, net_of, regression_loss, regression_task

from tts_meta.meta import LEARNERS, LearnerSettings, MetaLearner, Params, Task

every_learner = pytest.mark.parametrize("name", LEARNERS)
SETTINGS = LearnerSettings(inner_lr=0.004, inner_steps=3, outer_lr=0.01, variance=0.1, cg_max_iters=20)
TASKS = [regression_task(seed) for seed in range(4)]


def learner_of(
    name: str, settings: LearnerSettings = SETTINGS, model: nn.Module | None = None, **more: Any
) -> MetaLearner:
    return make_learner(name, settings, model, **more)


def query_loss(learner: MetaLearner) -> float:
    """Mean over tasks, after adaptation on the support."""
    scores = [
        learner.score(flat(learner, actual.params), [task.query])
        for actual, task in zip(learner.adapt_many(TASKS, SETTINGS.inner_steps), TASKS, strict=True)
    ]
    return float(torch.cat(scores).mean())


def flat(learner: MetaLearner, params: Params) -> Tensor:
    return learner.domain.adapted.flatten(params)[None]


def train(learner: MetaLearner, steps: int, tasks: Sequence[Task] = TASKS) -> list[float]:
    """Mean query losses after adaptation, before each meta-step."""
    return [learner.meta_step(tasks).loss_after for _ in range(steps)]


@every_learner
def test_meta_training_lowers_the_query_loss_after_adaptation(name: str) -> None:
    """All learners are scored in the same way. `loss_after` would not do: Reptile adapts on the query set too."""
    learner = learner_of(name, meta_steps=40)
    before, start = query_loss(learner), {key: value.clone() for key, value in learner.state_dict().items()}
    train(learner, 40)
    assert query_loss(learner) < 0.7 * before
    assert not torch.equal(start["adapted"], learner.adapted) or not torch.equal(start["shared"], learner.shared)
    assert learner.steps_done == 40


@every_learner
def test_adaptation_lowers_the_support_loss(name: str) -> None:
    learner = learner_of(name)
    actual = learner.adapt(TASKS[0], 30)
    assert actual.losses.shape == (30,) and actual.losses[-1] < actual.losses[0]
    params = learner.meta_params() | actual.params
    after = regression_loss(lambda x: functional_call(Net(), params, (x,)), TASKS[0].support)
    assert after < actual.losses[-1]
    assert set(actual.params) == set(learner.domain.adapted.shapes)


@every_learner
@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adapt_many_equals_adapt_of_each_task(name: str, vectorised: bool, dtype: torch.dtype) -> None:
    tasks = [regression_task(seed, dtype) for seed in range(3)]
    learner = learner_of(name, model=net_of(dtype), vectorised=vectorised)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    for adapted, task in zip(learner.adapt_many(tasks, 10), tasks, strict=True):
        alone = learner.adapt(task, 10)
        torch.testing.assert_close(adapted.losses, alone.losses, atol=tolerance, rtol=tolerance)
        for key, value in alone.params.items():
            assert value.dtype == dtype
            torch.testing.assert_close(adapted.params[key], value, atol=tolerance, rtol=tolerance)


@every_learner
def test_tasks_differentiated_in_parallel_give_the_same_step(name: str) -> None:
    # The variance is so small that no system is indefinite. Otherwise rounding would decide which direction of negative
    # curvature a solve meets first.
    settings = SETTINGS.model_copy(update={"variance": 0.003})
    one_by_one, together = learner_of(name, settings), learner_of(name, settings, vectorised=True, tasks_at_once=3)
    for _ in range(2):
        first, second = one_by_one.meta_step(TASKS), together.meta_step(TASKS)
        assert first.loss_after == pytest.approx(second.loss_after, rel=1e-10)
        assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-8)
    for key, value in one_by_one.state_dict().items():
        torch.testing.assert_close(value, together.state_dict()[key], atol=1e-10, rtol=1e-9)


@every_learner
def test_the_given_model_never_changes(name: str) -> None:
    net = net_of().requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    learner = learner_of(name, model=net)
    train(learner, 2)
    learner.adapt(TASKS[0], 3)
    assert same_weights(before, net)
    assert not any(value.requires_grad or value.grad is not None for value in net.parameters())
    learned = learner.meta_params()
    assert {key: value.shape for key, value in learned.items()} == {key: p.shape for key, p in net.named_parameters()}
    assert any(not torch.equal(value, before[key]) for key, value in learned.items())


@every_learner
def test_training_resumes_exactly_from_its_state(name: str) -> None:
    uninterrupted = learner_of(name, meta_steps=4)
    train(uninterrupted, 2)
    state, optimiser = copy.deepcopy(uninterrupted.state_dict()), copy.deepcopy(uninterrupted.optimiser.state_dict())
    other = net_of()
    with torch.no_grad():
        for value in other.parameters():
            value.zero_()
    resumed = learner_of(name, model=other, meta_steps=4)
    resumed.load_state_dict(state)
    resumed.optimiser.load_state_dict(optimiser)
    assert train(resumed, 2) == train(uninterrupted, 2)
    assert same_weights(resumed, uninterrupted) and resumed.steps_done == 4


@every_learner
@pytest.mark.parametrize("vectorised", [False, True])
def test_the_same_seed_gives_the_same_step_with_a_random_model(name: str, vectorised: bool) -> None:
    class Dropping(Net):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(super().forward(x), 0.5)

    def stepped(seed: int, before: int) -> MetaLearner:
        learner = learner_of(name, model=Dropping(), vectorised=vectorised, tasks_at_once=2, seed=seed)
        torch.randn(before)  # draws of the caller
        train(learner, 2)
        return learner

    first, second, other = stepped(0, 1), stepped(0, 5), stepped(1, 1)
    assert same_weights(first, second) and not same_weights(first, other)


@every_learner
def test_a_meta_step_reports_the_mean_query_losses_before_and_after_adaptation(name: str) -> None:
    learner = learner_of(name)
    start = learner.adapted.detach().expand(len(TASKS), -1)
    query = [task.query for task in TASKS]
    before = float(learner.score(start, query).mean())
    after = query_loss(learner)
    metrics = learner.meta_step(TASKS)
    assert (metrics.tasks, metrics.skipped) == (len(TASKS), 0) and metrics.gradient_norm > 0
    assert metrics.loss_before == pytest.approx(before, rel=1e-10)
    if name == "reptile":  # adapts on the query too
        assert metrics.loss_after < before
    elif name.startswith("finetune"):  # does not adapt while it trains
        assert metrics.loss_after == pytest.approx(before, rel=1e-10)
    else:
        assert metrics.loss_after == pytest.approx(after, rel=1e-10)


@every_learner
def test_every_learner_works_with_adam_as_inner_solver(name: str) -> None:
    settings = SETTINGS.model_copy(update={"inner_solver": "adam", "inner_lr": 0.02})
    losses = train(learner_of(name, settings), 25)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_observers_receive_every_step_of_every_task() -> None:
    learner, seen = learner_of("sigma-maml"), []
    actual = learner.adapt_many(TASKS[:2], 3, lambda step, params: seen.append((step, params)))
    assert [step for step, _ in seen] == [0, 1, 2, 3]
    for task in range(2):
        scores = torch.stack([learner.score(params, [t.support for t in TASKS[:2]])[task] for _, params in seen])
        torch.testing.assert_close(scores[:-1], actual[task].losses)
        torch.testing.assert_close(seen[-1][1][task], flat(learner, actual[task].params)[0])


def test_no_steps_of_adaptation_give_the_meta_parameters() -> None:
    learner = learner_of("sigma-imaml")
    actual = learner.adapt(TASKS[0], 0)
    assert actual.losses.shape == (0,)
    assert all(torch.equal(value, learner.meta_params()[key]) for key, value in actual.params.items())
