"""The learner's state: its state dict, moves to other devices and dtypes, and frozen layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from faults import error_line
from helpers import same_weights
from torch import Tensor, nn
from toy_domains import (
    Net,
    make_trainer,
    modules_of,
    net_of,
    regression_domain,
    regression_loss,
    regression_task,
)
from toy_models import (
    SETTINGS,
    TASKS,
    Body,
    Make,
    batch_norm,
    hooked_spectral,
    learner_of,
    trainable_learner,
    trainer_of,
)

from tts_meta.errors import UsageError
from tts_meta.meta import Budget, MetaTrainer


@pytest.mark.parametrize("make", [batch_norm, hooked_spectral])
@pytest.mark.parametrize("name", ["sigma-imaml", "alpha-maml", "meta-sgd", "cavia"])
def test_a_state_dict_reproduces_the_learner_with_another_model(name: str, make: Make) -> None:
    """The other model has different weights and buffers, and one module is not in the partition."""
    model = make().eval()
    with torch.no_grad():
        for value in model.buffers():
            if value.is_floating_point():
                value.add_(0.3)

    def trainer_without_first(net: nn.Module) -> MetaTrainer:
        chosen = [module for module in modules_of(net) if module.name != "first"]
        domain = replace(regression_domain(net), modules=chosen)
        return make_trainer(name, SETTINGS | {"hessian": "difference"}, domain)

    trainer, budget = trainer_without_first(model), Budget(3)
    trainer.step(TASKS)
    trained = trainer.learner
    other = make().eval()
    with torch.no_grad():
        for value in (*other.parameters(), *other.buffers()):
            if value.is_floating_point():
                value.mul_(0.5).add_(0.1)
    before, loaded = copy.deepcopy(other.state_dict()), trainer_without_first(other).learner
    assert not torch.equal(loaded.adapt([TASKS[0]], budget).losses, trained.adapt([TASKS[0]], budget).losses)
    loaded.load_state_dict(trained.state_dict())
    actual, expected = loaded.adapt([TASKS[0]], budget), trained.adapt([TASKS[0]], budget)
    assert torch.equal(actual.losses, expected.losses) and same_weights(actual.params, expected.params)
    assert same_weights(other, before), "the given model never changes"


def test_later_changes_of_the_model_do_not_change_the_learner() -> None:
    model = batch_norm().eval()
    learner, budget, kept = learner_of(model), Budget(3), ["middle", "head"]
    expected = learner.adapt([TASKS[0]], budget)
    expected_part = learner.restrict(kept).adapt([TASKS[0]], budget)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            value.zero_()
    assert torch.equal(learner.adapt([TASKS[0]], budget).losses, expected.losses)
    assert torch.equal(learner.restrict(kept).adapt([TASKS[0]], budget).losses, expected_part.losses)


@trainable_learner
def test_double_converts_the_model_and_all_values_of_the_learner(name: str) -> None:
    """A learner trained in single precision and then converted continues in double precision."""
    settings, budget, model = SETTINGS | {"hessian": "difference"}, Budget(3), Body(nn.BatchNorm1d(6)).float()
    trainer = trainer_of(model, name, settings)
    single = [regression_task(seed, torch.float32) for seed in range(3)]
    trainer.step(single)
    start = trainer.learner.adapt([single[0]], budget)
    assert trainer.double() is trainer
    moved = [*trainer.parameters(), *trainer.buffers(), *model.parameters(), *model.buffers()]
    assert {value.dtype for value in moved if value.is_floating_point()} == {torch.float64}
    trainer.step(TASKS)
    other = trainer_of(Body(nn.BatchNorm1d(6)).float(), name, settings)
    other.step(single)
    actual = other.double().learner.adapt([TASKS[0]], budget)
    torch.testing.assert_close(actual.losses, start.losses.double(), atol=0, rtol=1e-4)
    other.step(TASKS)
    torch.testing.assert_close(trainer.state_dict(), other.state_dict())
    assert trainer.steps_done == 2
    assert trainer.learner.adapt([TASKS[0]], Budget(1)).losses.dtype == torch.float64


def test_a_move_to_low_precision_keeps_the_count_of_meta_steps() -> None:
    trainer = trainer_of(net_of())
    trainer.counters[0] = 2051
    assert trainer.to(torch.bfloat16).steps_done == 2051


@trainable_learner
@pytest.mark.parametrize("vectorised", [False, True])
def test_the_loss_may_call_the_model_with_keyword_arguments(name: str, vectorised: bool) -> None:
    class Keyword(Net):
        def forward(self, *, x: Tensor, scale: float = 1.0, **more: Any) -> dict[str, Tensor]:  # type: ignore[override]
            return {"y": super().forward(x) * scale} | more

    def loss(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        return regression_loss(lambda x: call(x=x, scale=2.0, other=x)["y"], data)

    def doubled(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        return regression_loss(lambda x: 2.0 * call(x), data)

    actual, expected = (
        make_trainer(name, SETTINGS, regression_domain(net, net_loss, vectorised=vectorised), tasks_at_once=2)
        for net, net_loss in ((Keyword(), loss), (Net(), doubled))
    )
    assert actual.step(TASKS).loss_after == pytest.approx(expected.step(TASKS).loss_after, rel=1e-12)
    losses = [trainer.learner.adapt([TASKS[0]], Budget(2)).losses for trainer in (actual, expected)]
    assert torch.equal(*losses)


def frozen(*names: str) -> Net:
    net = net_of()
    for name, value in net.named_parameters():
        value.requires_grad_(not name.startswith(names))
    return net


@trainable_learner
def test_frozen_layers_neither_adapt_nor_learn(name: str) -> None:
    net = frozen("first", "second.weight")
    trainer, expected = trainer_of(net, name), copy.deepcopy(net)
    learner, moving = trainer.learner, {"context", "second.bias", "head.weight", "head.bias"}
    assert set(learner.model_parameters()) == moving
    assert set(learner.start()) <= moving and set(learner.adapt(TASKS, Budget(2)).params) <= moving
    start = copy.deepcopy(learner.model_parameters())
    for _ in range(2):
        trainer.step(TASKS)
    assert any(not torch.equal(value, start[key]) for key, value in learner.model_parameters().items())
    with torch.no_grad():
        for key, value in learner.model_parameters().items():
            expected.get_parameter(key).copy_(value)
        losses = learner.score(learner.start(), [TASKS[0].support])
        torch.testing.assert_close(losses[0], regression_loss(expected, TASKS[0].support))


def test_a_frozen_layer_chosen_to_adapt_is_refused_by_name() -> None:
    net = frozen("head", "context")
    for call in (
        lambda: learner_of(net, "anil"),
        lambda: learner_of(net, "maml", modules=["head", "first"]),
    ):
        text = error_line(call, UsageError)
        assert text == "module 'head' has requires_grad=False; set it to True or adapt other modules"
    assert "module 'context'" in error_line(lambda: learner_of(net, "cavia"), UsageError)


def test_a_model_without_any_gradient_adapts_like_a_trainable_model() -> None:
    trainer, expected = trainer_of(net_of().requires_grad_(False)), trainer_of(net_of())
    for each in (trainer, expected):
        each.step(TASKS)
    assert same_weights(trainer, expected)
