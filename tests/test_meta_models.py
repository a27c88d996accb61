"""Models as people have them: with buffers, keyword arguments, frozen layers, moved to another type, in any mode."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from cases import case_folder
from faults import error_line
from helpers import random_state_kept, same_weights
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils import spectral_norm as hooked_spectral_norm
from toy_domains import Net, make_learner, modules_of, net_of, regression_loss, regression_task

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS, LearnerSettings, MetaLearner, Task

every_learner = pytest.mark.parametrize("name", LEARNERS)
SETTINGS = LearnerSettings(inner_lr=0.004, inner_steps=3, outer_lr=0.01, variance=0.003, cg_max_iters=20)
TASKS = [regression_task(seed) for seed in range(3)]
Make = Callable[[], nn.Module]


class Body(nn.Module):
    """1-6-1 with a layer of some kind in the middle, and a context."""

    def __init__(self, middle: nn.Module, first: nn.Module | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.context = nn.Parameter(torch.tensor([0.1]))
            self.first = first or nn.Linear(1, 6)
            self.middle = middle
            self.head = nn.Linear(6, 1)
        self.double().train()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.middle(self.first(x + self.context))))


class Instance(nn.Module):
    """InstanceNorm of features, with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(6, affine=True, track_running_stats=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.T[None])[0].T


class Counting(nn.Module):
    """Counts its calls in place, and replaces another buffer; the count reaches the output."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Tensor
        self.last: Tensor
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x.mean()
        return x * self.calls


def batch_norm() -> nn.Module:
    return Body(nn.BatchNorm1d(6))


def instance_norm() -> nn.Module:
    return Body(Instance())


def spectral() -> nn.Module:
    return Body(nn.Identity(), parametrizations.spectral_norm(nn.Linear(1, 6)))


def hooked_spectral() -> nn.Module:
    return Body(nn.Identity(), hooked_spectral_norm(nn.Linear(1, 6)))


def counting() -> nn.Module:
    return Body(Counting())


BUFFERED = [batch_norm, instance_norm, spectral, hooked_spectral, counting]
with_buffers = pytest.mark.parametrize("make", BUFFERED)


def learner_of(model: nn.Module, name: str = "sigma-maml", settings: LearnerSettings = SETTINGS, **more: Any):
    roles = {"head": ["head"], "context": ["context"]}
    return MetaLearner(name, model, regression_loss, modules_of(model), settings, roles=roles, **more)


# Buffers.


@with_buffers
@pytest.mark.parametrize("name", ["sigma-maml", "sigma-reptile", "fomaml"])
def test_buffers_of_the_model_never_change_and_tasks_do_not_see_each_other(name: str, make: Make) -> None:
    model = make()
    before = copy.deepcopy(dict(model.named_buffers()))
    learner = learner_of(model, name, SETTINGS.model_copy(update={"hessian": "difference"}))
    alone = learner.adapt(TASKS[1], 4)
    assert alone.losses[-1] < alone.losses[0]
    learner.adapt(TASKS[0], 4)
    learner.score(learner.adapted.detach()[None], [TASKS[2].query])
    for found in (learner.adapt(TASKS[1], 4), learner.adapt_many(TASKS, 4)[1]):
        assert torch.equal(found.losses, alone.losses) and same_weights(found.params, alone.params)
    learner.meta_step(TASKS)
    assert before.keys() == dict(model.named_buffers()).keys() and before
    for key, value in model.named_buffers():
        assert torch.equal(value, before[key]), key
    assert model.training


def test_batch_statistics_are_used_in_training_mode_and_running_ones_in_evaluation() -> None:
    model, (x, y) = batch_norm(), TASKS[0].support
    with torch.no_grad():
        model.get_buffer("middle.running_mean").fill_(0.4)
    losses = []
    for mode in (True, False):
        model.train(mode)
        learner = learner_of(model)
        found = learner.score(learner.adapted.detach()[None], [(x, y)])
        with torch.no_grad():
            losses.append(regression_loss(copy.deepcopy(model), (x, y)))
        torch.testing.assert_close(found[0], losses[-1])
    assert abs(losses[0] - losses[1]) > 0.1


@pytest.mark.parametrize("make", [batch_norm, instance_norm, counting])
def test_models_with_buffers_run_side_by_side(make: Make) -> None:
    one_by_one, together = learner_of(make()), learner_of(make(), vectorised=True, tasks_at_once=3)
    for found, expected in zip(together.adapt_many(TASKS, 4), one_by_one.adapt_many(TASKS, 4), strict=True):
        torch.testing.assert_close(found.losses, expected.losses, atol=1e-11, rtol=1e-11)
    first, second = one_by_one.meta_step(TASKS), together.meta_step(TASKS)
    assert first.loss_after == pytest.approx(second.loss_after, rel=1e-10)
    assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-8)


def test_what_cannot_run_side_by_side_is_one_line() -> None:
    learner = learner_of(hooked_spectral(), vectorised=True, tasks_at_once=3)
    text = error_line(lambda: learner.meta_step(TASKS), UsageError)
    assert text == "the model or the loss cannot run several tasks in parallel; set vectorised=False"

    class Branching(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.mean()) > -10 else x

    learner = make_learner("maml", SETTINGS, Branching(), vectorised=True)
    assert error_line(lambda: learner.adapt_many(TASKS, 2), UsageError) == text


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
@pytest.mark.parametrize("vectorised", [False, True])
def test_any_number_of_tasks_at_once_takes_the_same_step(at_once: int, vectorised: bool) -> None:
    expected = make_learner("sigma-maml", SETTINGS)
    learner = make_learner("sigma-maml", SETTINGS, vectorised=vectorised, tasks_at_once=at_once)
    one, other = expected.meta_step(TASKS), learner.meta_step(TASKS)
    assert other.loss_after == pytest.approx(one.loss_after, rel=1e-11)
    torch.testing.assert_close(learner.adapted, expected.adapted, atol=1e-12, rtol=1e-12)
    text = error_line(lambda: make_learner("maml", SETTINGS, tasks_at_once=1 - at_once), UsageError)
    assert text == f"tasks_at_once must be 1 or more, not {1 - at_once}"


# The state dict.


@pytest.mark.parametrize("make", [batch_norm, hooked_spectral])
@pytest.mark.parametrize("name", ["sigma-imaml", "alpha-maml", "meta-sgd", "cavia"])
def test_a_state_dict_is_all_that_another_learner_needs(name: str, make: Make) -> None:
    """Into a learner of a model with other weights and other buffers, of which a module is in no partition."""
    model = make().eval()
    with torch.no_grad():
        for value in model.buffers():
            if value.is_floating_point():
                value.add_(0.3)
    settings = SETTINGS.model_copy(update={"hessian": "difference"})
    roles = {"head": ["head"], "context": ["context"]}

    def learner(own: nn.Module) -> MetaLearner:
        chosen = [module for module in modules_of(own) if module.name != "first"]
        return MetaLearner(name, own, regression_loss, chosen, settings, roles=roles)

    own = learner(model)
    own.meta_step(TASKS)
    other = make().eval()
    with torch.no_grad():
        for value in (*other.parameters(), *other.buffers()):
            if value.is_floating_point():
                value.mul_(0.5).add_(0.1)
    before, loaded = copy.deepcopy(other.state_dict()), learner(other)
    assert not torch.equal(loaded.adapt(TASKS[0], 3).losses, own.adapt(TASKS[0], 3).losses)
    loaded.load_state_dict(own.state_dict())
    found, expected = loaded.adapt(TASKS[0], 3), own.adapt(TASKS[0], 3)
    assert torch.equal(found.losses, expected.losses) and same_weights(found.params, expected.params)
    assert same_weights(other, before), "the model given is never changed"


def test_a_learner_keeps_its_values_whatever_becomes_of_the_model() -> None:
    model = batch_norm().eval()
    learner = learner_of(model)
    expected = learner.adapt(TASKS[0], 3)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            value.zero_()
    assert torch.equal(learner.adapt(TASKS[0], 3).losses, expected.losses)


# Moves.


@every_learner
def test_double_moves_the_model_and_everything_else(name: str) -> None:
    """A learner of single precision, trained and then moved, goes on as one of double precision does."""
    model = Body(nn.BatchNorm1d(6)).float()
    own = learner_of(model, name, SETTINGS.model_copy(update={"hessian": "difference"}))
    single = [regression_task(seed, torch.float32) for seed in range(3)]
    own.meta_step(single)
    start = own.adapt(single[0], 3)
    assert own.double() is own
    moved = [*own.parameters(), *own.buffers(), *model.parameters(), *model.buffers()]
    assert {value.dtype for value in moved if value.is_floating_point()} == {torch.float64}
    own.meta_step(TASKS)
    found = learner_of(Body(nn.BatchNorm1d(6)).float(), name, own.settings)
    found.meta_step(single)
    torch.testing.assert_close(found.double().adapt(TASKS[0], 3).losses, start.losses.double(), atol=0, rtol=1e-4)
    found.meta_step(TASKS)
    torch.testing.assert_close(own.adapted, found.adapted)
    assert own.steps_done == 2 and own.adapt(TASKS[0], 1).losses.dtype == torch.float64


def test_a_move_to_low_precision_keeps_the_count_of_meta_steps() -> None:
    learner = make_learner("sigma-maml", SETTINGS)
    learner.progress[0] = 2051
    assert learner.to(torch.bfloat16).steps_done == 2051


def test_moving_to_another_device_takes_the_model_along() -> None:
    """`meta` is the other device that every machine has."""
    learner = learner_of(batch_norm())
    learner.meta_step(TASKS)
    learner.to("meta")
    model = learner.domain.model
    moved = [*learner.parameters(), *learner.buffers(), *model.parameters(), *model.buffers()]
    moments = [v for memory in learner.optimiser.state.values() for k, v in memory.items() if k != "step"]
    assert moments and {value.device.type for value in (*moved, *moments)} == {"meta"}


# Keyword arguments.


@every_learner
@pytest.mark.parametrize("vectorised", [False, True])
def test_a_model_is_called_as_it_is_itself(name: str, vectorised: bool) -> None:
    class Keyword(Net):
        def forward(self, *, x: Tensor, scale: float = 1.0, **more: Any) -> dict[str, Tensor]:  # type: ignore[override]
            return {"y": super().forward(x) * scale} | more

    def loss(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        return regression_loss(lambda x: call(x=x, scale=2.0, other=x)["y"], data)

    def doubled(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        return regression_loss(lambda x: 2.0 * call(x), data)

    found, expected = (
        MetaLearner(
            name, net, own, modules_of(net), SETTINGS, roles={"head": ["head"], "context": ["context"]},
            vectorised=vectorised, tasks_at_once=2,
        )
        for net, own in ((Keyword(), loss), (Net(), doubled))
    )  # fmt: skip
    assert found.meta_step(TASKS).loss_after == pytest.approx(expected.meta_step(TASKS).loss_after, rel=1e-12)
    assert torch.equal(found.adapt(TASKS[0], 2).losses, expected.adapt(TASKS[0], 2).losses)


# Frozen layers.


def frozen(*names: str) -> Net:
    net = net_of()
    for name, value in net.named_parameters():
        value.requires_grad_(not name.startswith(names))
    return net


@every_learner
def test_layers_that_require_no_gradient_neither_adapt_nor_learn(name: str) -> None:
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


def test_a_frozen_layer_that_is_to_adapt_is_refused_by_name() -> None:
    net = frozen("head", "context")
    for call in (
        lambda: make_learner("anil", SETTINGS, net),
        lambda: make_learner("maml", SETTINGS, net, modules=["head", "first"]),
    ):
        text = error_line(call, UsageError)
        assert text == "module 'head' has requires_grad=False; set it to True or adapt other modules"
    assert "module 'context'" in error_line(lambda: make_learner("cavia", SETTINGS, net), UsageError)


def test_a_model_of_which_nothing_requires_a_gradient_adapts_as_any_other() -> None:
    net = net_of().requires_grad_(False)
    learner, expected = make_learner("sigma-maml", SETTINGS, net), make_learner("sigma-maml", SETTINGS)
    learner.meta_step(TASKS), expected.meta_step(TASKS)  # pyright: ignore[reportUnusedExpression]
    assert same_weights(learner, expected)


# The caller's modes and generators.


@pytest.mark.parametrize(("name", "mode"), [(n, torch.inference_mode) for n in LEARNERS] + [("maml", torch.no_grad)])
def test_the_callers_mode_changes_nothing(name: str, mode: Callable[[], Any]) -> None:
    """Tasks, model and learner may be made in it too."""

    def run(inside: Any) -> tuple[MetaLearner, Tensor, bool]:
        with inside:
            learner = make_learner(name, SETTINGS, net_of())
            tasks = [regression_task(seed) for seed in range(3)]
            learner.meta_step(tasks)
            found = learner.adapt(tasks[0], 3)
            learner.score(learner.adapted.detach()[None], [tasks[0].query])
            return learner, found.losses, torch.is_grad_enabled()

    learner, losses, grad = run(mode())
    expected, other, _ = run(nullcontext())
    assert same_weights(learner, expected) and torch.equal(losses, other) and not grad
    assert learner.meta_step(TASKS).loss_after == pytest.approx(expected.meta_step(TASKS).loss_after, rel=1e-12)


class Dropping(Net):
    """Draws from torch's generator by two kinds of operation."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.4) + 0.3 * torch.randn_like(x)


def drawn(task: Task) -> Task:
    """The task, whose inner steps draw some points by all three global generators."""
    x, y = task.support

    def draw(step: int) -> Any:
        rows = [int(torch.randint(6, ())), int(np.random.randint(6)), random.randrange(6), step % 6]
        return x[rows] + 0.01 * torch.randn(1), y[rows]

    return Task(task.support, task.query, draw, task.name)


@pytest.mark.parametrize(("name", "vectorised"), [(n, False) for n in LEARNERS] + [("sigma-maml", True)])
def test_random_models_and_draws_leave_the_callers_generators_alone(name: str, vectorised: bool) -> None:
    tasks = [drawn(task) for task in TASKS]
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
def test_random_models_and_draws_give_together_what_they_give_one_by_one(name: str, vectorised: bool) -> None:
    tasks = [drawn(task) for task in TASKS]
    learner = make_learner(name, SETTINGS, Dropping(), vectorised=vectorised, tasks_at_once=3)
    for found, task in zip(learner.adapt_many(tasks, 4), tasks, strict=True):
        torch.randn(3), random.random()  # pyright: ignore[reportUnusedExpression]
        alone = learner.adapt(task, 4)
        torch.testing.assert_close(found.losses, alone.losses, atol=1e-11, rtol=1e-11)
        torch.testing.assert_close(found.params, alone.params, atol=1e-11, rtol=1e-11)
    other = make_learner(name, SETTINGS, Dropping())
    torch.randn(3)
    one, two = learner.meta_step(tasks), other.meta_step(tasks)
    assert one.loss_after == pytest.approx(two.loss_after, rel=1e-10) and one.loss_before == pytest.approx(
        two.loss_before, rel=1e-10
    )
    torch.testing.assert_close(learner.adapted, other.adapted, atol=1e-9, rtol=1e-9)


def test_every_inner_step_and_every_meta_step_draws_something_else() -> None:
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


# What is refused.


def refused(model: nn.Module, loss: Any = regression_loss, name: str = "sigma-maml", **more: Any) -> str:
    def call() -> None:
        learner = MetaLearner(name, model, loss, modules_of(model), SETTINGS, **more)
        learner.meta_step(TASKS)

    return error_line(call, UsageError)


def ctc(call: Callable[..., Any], data: Any) -> Tensor:
    scores = call(data[0]).expand(-1, 5)[:, None].log_softmax(-1)
    lengths = torch.tensor([len(scores)]), torch.tensor([2])
    return nn.functional.ctc_loss(scores, torch.tensor([[1, 2]]), *lengths, reduction="sum")


class OnceDifferentiable(torch.autograd.Function):
    """The identity, as a fused kernel has it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class Fused(Net):
    def forward(self, x: Tensor) -> Tensor:
        return OnceDifferentiable.apply(super().forward(x))  # type: ignore[return-value]


class Table(nn.Module):
    """An embedding before a linear layer."""

    def __init__(self, **more: Any) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(4, 3, **more).double(), nn.Linear(3, 1).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table((x[:, 0] > 0).long()))


class Clamping(Net):
    """Keeps its own weights in bounds when called."""

    def forward(self, x: Tensor) -> Tensor:
        self.head.weight.clamp_(-1, 1)
        return super().forward(x)


def detached(call: Callable[..., Any], data: Any) -> Tensor:
    return call(data[0]).detach().square().sum()


TWICE = "has no derivative of the order that this learner needs; choose a first-order learner (fomaml, reptile)"


@pytest.mark.parametrize(
    ("make", "loss", "text"),
    [
        (Net, ctc, f"'ctc_loss' {TWICE}"),
        (Fused, regression_loss, f"a function marked @once_differentiable {TWICE}"),
        (lambda: nn.DataParallel(Net()), regression_loss, "the model is a DataParallel; give its .module"),
        (lambda: Body(nn.DataParallel(nn.Linear(6, 6))), regression_loss, "'middle' is a DataParallel"),
        (lambda: Table(sparse=True), regression_loss, "'table' has sparse gradients; give it sparse=False"),
        (lambda: Table(max_norm=1.0), regression_loss, "'table' changes its weights when it is called"),
        (lambda: Body(nn.LazyLinear(6)), regression_loss, "parameter 'middle.weight' has no shape yet"),
        (lambda: Body(nn.Linear(6, 6)).half().double(), detached, "the loss has no gradient by the parameters"),
        (Clamping, regression_loss, "changes parameters or inputs in place"),
        (lambda: Net(torch.float32), regression_loss, "model and data have different dtypes"),
    ],
)
def test_what_cannot_be_meta_learned_is_one_line_that_says_what_to_do(make: Make, loss: Any, text: str) -> None:
    assert text in refused(make(), loss)


def test_a_model_of_two_types_is_refused_by_its_parameters() -> None:
    net = Net()
    net.head.half()
    assert refused(net).startswith(
        "parameters 'context' (float64) and 'head.weight' (float16) differ in dtype; convert"
    )
    net.second.to("meta")
    assert "(cpu) and 'second.weight' (meta) differ in device" in refused(net)


def test_a_first_order_learner_takes_what_a_second_order_one_refuses() -> None:
    """As the message says: CTC and a kernel with one derivative, under first-order learners and difference products."""
    for model, loss in ((Net(), ctc), (Fused(), regression_loss)):
        for name, settings in (
            ("fomaml", SETTINGS),
            ("reptile", SETTINGS),
            ("sigma-imaml", SETTINGS.model_copy(update={"hessian": "difference"})),
        ):
            learner = MetaLearner(name, model, loss, modules_of(model), settings)
            before = learner.adapted.detach().clone()
            assert learner.meta_step(TASKS).skipped == 0 and not torch.equal(before, learner.adapted)


@pytest.mark.parametrize("steps", [-1, -100, 2.5, "3", None, True])
def test_a_number_of_steps_that_is_none_is_refused(steps: Any) -> None:
    learner = make_learner("sigma-maml", SETTINGS)
    for call in (lambda: learner.adapt(TASKS[0], steps), lambda: learner.adapt_many(TASKS, steps)):
        text = error_line(call, UsageError)
        assert text == f"the number of inner steps must be an integer of 0 or more, not {steps!r}"
    assert learner.adapt_many([], 3) == [] and len(learner.adapt(TASKS[0], np.int64(2)).losses) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    learner, other = (make_learner("maml", SETTINGS, Dropping(), seed=one) for one in (seed, 0))
    task = drawn(TASKS[0])
    assert learner.meta_step([task]).loss_after != other.meta_step([task]).loss_after
    assert learner.score(learner.adapted.detach()[None], [TASKS[0].query]).isfinite().all()
    assert not torch.equal(learner.adapt(task, 2).losses, other.adapt(task, 2).losses)


def test_a_fault_of_the_model_itself_stays_what_it_is() -> None:
    class Broken(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x[:, :0])

    learner = make_learner("maml", SETTINGS, Broken())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        learner.meta_step(TASKS)
    assert not isinstance(caught.value, TtsMetaError)


# The cases that were reported.


@pytest.mark.parametrize("case", ["meta_batchnorm", "meta_kwargs", "meta_raw_errors"])
def test_the_reported_cases(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = (case_folder(case) / "case.py").read_text()
    with torch.random.fork_rng(devices=[]):
        exec(compile(code, case, "exec"), {"__name__": "case"})
    shown = capsys.readouterr().out
    if case == "meta_batchnorm":
        assert shown.startswith("unchanged: True") and "running_mean" in shown
    if case == "meta_raw_errors":
        lines = shown.splitlines()
        assert lines[0] == "no_grad ok" and len(lines) == 5
        assert all("UsageError" in line for line in lines[1:])
