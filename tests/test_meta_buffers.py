"""Buffers of a model: they are constants of the learner, in sequence and in parallel."""

from __future__ import annotations

import copy

import pytest
import torch
from faults import error_line
from helpers import same_weights
from torch import Tensor
from toy_domains import Net, gradient_learner, net_of, regression_loss
from toy_models import (
    BUFFERED,
    SETTINGS,
    TASKS,
    Make,
    batch_norm,
    counting,
    hooked_spectral,
    instance_norm,
    learner_of,
    trainer_of,
)

from tts_meta.errors import UsageError
from tts_meta.meta import Budget

with_buffers = pytest.mark.parametrize("make", BUFFERED)


@with_buffers
@pytest.mark.parametrize("name", ["sigma-maml", "sigma-reptile", "fomaml"])
def test_the_models_buffers_never_change_and_tasks_are_independent(name: str, make: Make) -> None:
    model = make()
    before = copy.deepcopy(dict(model.named_buffers()))
    trainer, budget = trainer_of(model, name, SETTINGS | {"hessian": "difference"}), Budget(4)
    learner = trainer.learner
    alone = learner.adapt([TASKS[1]], budget)
    assert alone.losses[-1, 0] < alone.losses[0, 0]
    learner.adapt([TASKS[0]], budget)
    learner.score(learner.start(), [TASKS[2].query])
    for actual, index in ((learner.adapt([TASKS[1]], budget), 0), (learner.adapt(TASKS, budget), 1)):
        assert torch.equal(actual.losses[:, index], alone.losses[:, 0])
        assert same_weights(actual.task(index), alone.task(0))
    trainer.step(TASKS)
    assert before.keys() == dict(model.named_buffers()).keys() and before
    for key, value in model.named_buffers():
        assert torch.equal(value, before[key]), key
    assert model.training


def test_training_mode_uses_batch_statistics_and_evaluation_mode_running_statistics() -> None:
    model, (x, y) = batch_norm(), TASKS[0].support
    with torch.no_grad():
        model.get_buffer("middle.running_mean").fill_(0.4)
    losses = []
    for mode in (True, False):
        model.train(mode)
        learner = learner_of(model)
        actual = learner.score(learner.start(), [(x, y)])
        with torch.no_grad():
            losses.append(regression_loss(copy.deepcopy(model), (x, y)))
        torch.testing.assert_close(actual[0], losses[-1])
    assert abs(losses[0] - losses[1]) > 0.1


@pytest.mark.parametrize("make", [batch_norm, instance_norm, counting])
def test_models_with_buffers_run_in_parallel(make: Make) -> None:
    one_by_one, together = trainer_of(make()), trainer_of(make(), vectorised=True, tasks_at_once=3)
    actual, expected = (trainer.learner.adapt(TASKS, Budget(4)) for trainer in (together, one_by_one))
    torch.testing.assert_close(actual.losses, expected.losses, atol=1e-11, rtol=1e-11)
    first, second = one_by_one.step(TASKS), together.step(TASKS)
    assert first.loss_after == pytest.approx(second.loss_after, rel=1e-10)
    assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-8)


def test_a_model_that_cannot_run_in_parallel_is_refused_in_one_line() -> None:
    trainer = trainer_of(hooked_spectral(), vectorised=True, tasks_at_once=3)
    text = error_line(lambda: trainer.step(TASKS), UsageError)
    assert text == "the model or the loss cannot run several tasks in parallel; set vectorised=False"

    class Branching(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.mean()) > -10 else x

    learner = learner_of(Branching(), "maml", vectorised=True)
    assert error_line(lambda: learner.adapt(TASKS, Budget(2)), UsageError) == text


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
@pytest.mark.parametrize("vectorised", [False, True])
def test_the_number_of_tasks_at_once_does_not_change_the_step(at_once: int, vectorised: bool) -> None:
    expected = trainer_of(net_of())
    trainer = trainer_of(net_of(), vectorised=vectorised, tasks_at_once=at_once)
    expected_metrics, metrics = expected.step(TASKS), trainer.step(TASKS)
    assert metrics.loss_after == pytest.approx(expected_metrics.loss_after, rel=1e-11)
    learned = [gradient_learner(each).adapted for each in (trainer, expected)]
    torch.testing.assert_close(*learned, atol=1e-12, rtol=1e-12)
    text = error_line(lambda: trainer_of(net_of(), "maml", tasks_at_once=1 - at_once), UsageError)
    assert text == f"tasks_at_once must be 1 or more, not {1 - at_once}"
