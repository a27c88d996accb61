"""Models and losses that cannot be meta-learned are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import case_folder
from faults import error_line
from torch import Tensor, nn
from toy_domains import Net, gradient_learner, make_trainer, regression_domain, regression_loss
from toy_models import SETTINGS, TASKS, Body, Make, trainer_of

import tts_meta.meta
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Budget, Domain, MetaTrainer, Task, create_learner


def refused(model: nn.Module, loss: Any = regression_loss) -> str:
    def call() -> None:
        make_trainer("sigma-maml", SETTINGS, regression_domain(model, loss)).step(TASKS)

    return error_line(call, UsageError)


def ctc(call: Callable[..., Any], data: Any) -> Tensor:
    scores = call(data[0]).expand(-1, 5)[:, None].log_softmax(-1)
    lengths = torch.tensor([len(scores)]), torch.tensor([2])
    return nn.functional.ctc_loss(scores, torch.tensor([[1, 2]]), *lengths, reduction="sum")


class OnceDifferentiable(torch.autograd.Function):
    """The identity with one derivative, like a fused kernel."""

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
    """Clamps its weights in place when it is called."""

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
def test_an_unsupported_model_is_refused_with_advice_in_one_line(make: Make, loss: Any, text: str) -> None:
    assert text in refused(make(), loss)


def test_a_model_with_two_dtypes_or_devices_is_refused_by_parameter_name() -> None:
    net = Net()
    net.head.half()
    assert refused(net).startswith(
        "parameters 'context' (float64) and 'head.weight' (float16) differ in dtype; convert"
    )
    net.second.to("meta")
    assert "(cpu) and 'second.weight' (meta) differ in device" in refused(net)


def test_first_order_learners_accept_functions_with_one_derivative() -> None:
    """As the message advises: CTC and a kernel with one derivative work without second derivatives."""
    for model, loss in ((Net(), ctc), (Fused(), regression_loss)):
        for name, settings in (
            ("fomaml", SETTINGS),
            ("reptile", SETTINGS),
            ("sigma-imaml", SETTINGS | {"hessian": "difference"}),
        ):
            trainer = make_trainer(name, settings, regression_domain(model, loss))
            learner = gradient_learner(trainer)
            before = learner.adapted.detach().clone()
            assert trainer.step(TASKS).skipped == 0 and not torch.equal(before, learner.adapted)


def test_other_errors_of_the_model_are_raised_unchanged() -> None:
    class Broken(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x[:, :0])

    trainer = trainer_of(Broken(), "maml")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        trainer.step(TASKS)
    assert not isinstance(caught.value, TtsMetaError)


class EarlierLearner:
    """The interface of learners that the reported cases call."""

    def __init__(self, name: str, model: nn.Module, loss: Any, modules: Any, settings: dict[str, Any]) -> None:
        self.trainer = MetaTrainer(create_learner(name, Domain(model, loss, modules), settings))
        self.state_dict = self.trainer.state_dict

    def meta_step(self, tasks: list[Task]) -> None:
        self.trainer.step(tasks)

    def adapt(self, task: Task, steps: int) -> None:
        self.trainer.learner.adapt([task], Budget(steps))


@pytest.mark.parametrize("case", ["meta_batchnorm", "meta_kwargs", "meta_raw_errors"])
def test_reported_cases_stay_fixed(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (case_folder(case) / "case.py").read_text()
    monkeypatch.setattr(tts_meta.meta, "MetaLearner", EarlierLearner)
    monkeypatch.setattr(tts_meta.meta, "LearnerSettings", dict, raising=False)
    with torch.random.fork_rng(devices=[]):
        exec(compile(code, case, "exec"), {"__name__": "case"})
    shown = capsys.readouterr().out
    if case == "meta_batchnorm":
        assert shown.startswith("unchanged: True") and "running_mean" in shown
    if case == "meta_raw_errors":
        lines = shown.splitlines()
        assert lines[0] == "no_grad ok" and len(lines) == 5
        assert all("UsageError" in line for line in lines[1:])
