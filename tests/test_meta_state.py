"""The learner's state: its state dict, moves to other devices and dtypes, and frozen layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from faults import error_line
from helpers import same_weights
from torch import Tensor, nn
from toy_domains import Net, make_learner, modules_of, net_of, regression_loss, regression_task
from toy_models import SETTINGS, TASKS, Body, Make, batch_norm, every_learner, hooked_spectral, learner_of

from tts_meta.errors import UsageError
from tts_meta.meta import MetaLearner


@pytest.mark.parametrize("make", [batch_norm, hooked_spectral])
@pytest.mark.parametrize("name", ["sigma-imaml", "alpha-maml", "meta-sgd", "cavia"])
def test_a_state_dict_reproduces_the_learner_with_another_model(name: str, make: Make) -> None:
    """The other model has different weights and buffers, and one module is not in the partition."""
    model = make().eval()
    with torch.no_grad():
        for value in model.buffers():
            if value.is_floating_point():
                value.add_(0.3)
    settings = SETTINGS.model_copy(update={"hessian": "difference"})
    roles = {"head": ["head"], "context": ["context"]}

    def learner_without_first(net: nn.Module) -> MetaLearner:
        chosen = [module for module in modules_of(net) if module.name != "first"]
        return MetaLearner(name, net, regression_loss, chosen, settings, roles=roles)

    trained = learner_without_first(model)
    trained.meta_step(TASKS)
    other = make().eval()
    with torch.no_grad():
        for value in (*other.parameters(), *other.buffers()):
            if value.is_floating_point():
                value.mul_(0.5).add_(0.1)
    before, loaded = copy.deepcopy(other.state_dict()), learner_without_first(other)
    assert not torch.equal(loaded.adapt(TASKS[0], 3).losses, trained.adapt(TASKS[0], 3).losses)
    loaded.load_state_dict(trained.state_dict())
    actual, expected = loaded.adapt(TASKS[0], 3), trained.adapt(TASKS[0], 3)
    assert torch.equal(actual.losses, expected.losses) and same_weights(actual.params, expected.params)
    assert same_weights(other, before), "the given model never changes"


def test_later_changes_of_the_model_do_not_change_the_learner() -> None:
    model = batch_norm().eval()
    learner = learner_of(model)
    expected = learner.adapt(TASKS[0], 3)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            value.zero_()
    assert torch.equal(learner.adapt(TASKS[0], 3).losses, expected.losses)


@every_learner
def test_double_converts_the_model_and_all_values_of_the_learner(name: str) -> None:
    """A learner trained in single precision and then converted continues in double precision."""
    model = Body(nn.BatchNorm1d(6)).float()
    learner = learner_of(model, name, SETTINGS.model_copy(update={"hessian": "difference"}))
    single = [regression_task(seed, torch.float32) for seed in range(3)]
    learner.meta_step(single)
    start = learner.adapt(single[0], 3)
    assert learner.double() is learner
    moved = [*learner.parameters(), *learner.buffers(), *model.parameters(), *model.buffers()]
    assert {value.dtype for value in moved if value.is_floating_point()} == {torch.float64}
    learner.meta_step(TASKS)
    other = learner_of(Body(nn.BatchNorm1d(6)).float(), name, learner.settings)
    other.meta_step(single)
    torch.testing.assert_close(other.double().adapt(TASKS[0], 3).losses, start.losses.double(), atol=0, rtol=1e-4)
    other.meta_step(TASKS)
    torch.testing.assert_close(learner.adapted, other.adapted)
    assert learner.steps_done == 2 and learner.adapt(TASKS[0], 1).losses.dtype == torch.float64


def test_a_move_to_low_precision_keeps_the_count_of_meta_steps() -> None:
    learner = make_learner("sigma-maml", SETTINGS)
    learner.progress[0] = 2051
    assert learner.to(torch.bfloat16).steps_done == 2051


def test_a_move_to_another_device_moves_the_model_too() -> None:
    """`meta` is the only other device that every machine has."""
    learner = learner_of(batch_norm())
    learner.meta_step(TASKS)
    learner.to("meta")
    model = learner.domain.model
    moved = [*learner.parameters(), *learner.buffers(), *model.parameters(), *model.buffers()]
    moments = [v for memory in learner.optimiser.state.values() for k, v in memory.items() if k != "step"]
    assert moments and {value.device.type for value in (*moved, *moments)} == {"meta"}


@every_learner
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
        MetaLearner(
            name, net, net_loss, modules_of(net), SETTINGS, roles={"head": ["head"], "context": ["context"]},
            vectorised=vectorised, tasks_at_once=2,
        )
        for net, net_loss in ((Keyword(), loss), (Net(), doubled))
    )  # fmt: skip
    assert actual.meta_step(TASKS).loss_after == pytest.approx(expected.meta_step(TASKS).loss_after, rel=1e-12)
    assert torch.equal(actual.adapt(TASKS[0], 2).losses, expected.adapt(TASKS[0], 2).losses)


def frozen(*names: str) -> Net:
    net = net_of()
    for name, value in net.named_parameters():
        value.requires_grad_(not name.startswith(names))
    return net


@every_learner
def test_frozen_layers_neither_adapt_nor_learn(name: str) -> None:
    net = frozen("first", "second.weight")
    learner, expected = make_learner(name, SETTINGS, net), copy.deepcopy(net)
    moving = {"context", "second.bias", "head.weight", "head.bias"}
    assert set(learner.meta_params()) == moving
    assert set(learner.domain.adapted.shapes) <= moving
    start = copy.deepcopy(learner.meta_params())
    for _ in range(2):
        learner.meta_step(TASKS)
    assert any(not torch.equal(value, start[key]) for key, value in learner.meta_params().items())
    with torch.no_grad():
        for key, value in learner.meta_params().items():
            expected.get_parameter(key).copy_(value)
        losses = learner.score(learner.adapted.detach()[None], [TASKS[0].support])
        torch.testing.assert_close(losses[0], regression_loss(expected, TASKS[0].support))


def test_a_frozen_layer_chosen_to_adapt_is_refused_by_name() -> None:
    net = frozen("head", "context")
    for call in (
        lambda: make_learner("anil", SETTINGS, net),
        lambda: make_learner("maml", SETTINGS, net, modules=["head", "first"]),
    ):
        text = error_line(call, UsageError)
        assert text == "module 'head' has requires_grad=False; set it to True or adapt other modules"
    assert "module 'context'" in error_line(lambda: make_learner("cavia", SETTINGS, net), UsageError)


def test_a_model_without_any_gradient_adapts_like_a_trainable_model() -> None:
    net = net_of().requires_grad_(False)
    learner, expected = make_learner("sigma-maml", SETTINGS, net), make_learner("sigma-maml", SETTINGS)
    learner.meta_step(TASKS), expected.meta_step(TASKS)  # pyright: ignore[reportUnusedExpression]
    assert same_weights(learner, expected)
