"""A learner added by one class and one decorator obeys every rule of `test_learners` and `test_learners_training`.

The learner is a closed-form bias of the output layer, shrunk to the bias of the model with a meta-learned λ.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
import test_learners
import test_learners_training
import torch
from pydantic import Field
from torch import Tensor, nn
from toy_domains import EVERY, TRAINABLE, net_of, regression_loss, regression_task
from toy_models import learner_of, trainer_of

from tts_meta.config import Section
from tts_meta.meta import LEARNERS, Adapted, Budget, LinearHead, MetaLearner, Params, Task, register
from tts_meta.meta.learner import Observer
from tts_meta.meta.seeding import combine_seeds

NAME = "test-ridge-bias"
TASKS = [regression_task(seed) for seed in range(4)]


class RidgeBiasSettings(Section):
    """Settings of the ridge bias."""

    shrinkage: float = Field(default=1.0, gt=0)
    """Initial λ."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> type[MetaLearner]:
    """The new learner, registered for the time of a test."""
    monkeypatch.setitem(LEARNERS, NAME, LEARNERS["maml"])  # removed at the end of the test
    del LEARNERS[NAME]

    @register(NAME, source="a test")
    class RidgeBias(MetaLearner[RidgeBiasSettings]):
        """The bias b of the output layer that minimises Σ w (y - o - b)² / 2 + λ b² / 2 on the support."""

        Settings = RidgeBiasSettings
        needs = ("linear_head",)
        adapts = "head"
        iterative = False

        def build(self) -> None:
            self.head: LinearHead = self.domain.require("linear_head", self.name)
            self.log_shrinkage = nn.Parameter(torch.tensor(math.log(self.settings.shrinkage), dtype=torch.float64))

        def adapt(self, tasks: Sequence[Task], budget: Budget, observe: Observer | None = None) -> Adapted:
            with self.call_context(self.seed), torch.no_grad():
                start = self.start(len(tasks))
                biases = [self.bias(task) for task in tasks]
            return Adapted.without_steps(start | ({self.head.bias: torch.stack(biases)} if tasks else {}), len(tasks))

        def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
            seed = combine_seeds(self.seed, self.meta_step)
            biases = [{self.head.bias: self.bias(task)} for task in tasks]
            return torch.stack([self.domain.nll(b, t.query, seed) for b, t in zip(biases, tasks, strict=True)])

        def bias(self, task: Task) -> Tensor:
            """Return the bias in closed form, `(O,)`, differentiable in λ."""
            start: Params = {name: value[0] for name, value in self.start().items()}
            data = self.domain.head_data(start, task.support, self.seed)
            outputs = nn.functional.linear(data.inputs, start[self.head.weight], start[self.head.bias])
            residuals = data.weights @ (data.targets - outputs).detach()
            return start[self.head.bias] + residuals / (data.weights.sum() + self.log_shrinkage.exp())

    return RidgeBias


def rules_of(module: ModuleType) -> list[Callable[..., None]]:
    """The rules of a test module for every learner, or for every learner that meta-trains."""
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    return [
        test
        for test in tests
        if any(
            mark.args[0] == "name" and any(mark.args[1] is names for names in (EVERY, TRAINABLE))
            for mark in getattr(test, "pytestmark", [])
        )
    ]


RULES = [*rules_of(test_learners), *rules_of(test_learners_training)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__.removeprefix("test_"))
def test_the_new_learner_obeys_every_rule(rule: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (test_learners, test_learners_training):
        monkeypatch.setattr(module, "TRAINABLE", (*TRAINABLE, NAME))
    given = {"name": NAME, "vectorised": False, "dtype": torch.float64}
    rule(**{key: value for key, value in given.items() if key in inspect.signature(rule).parameters})


def test_there_are_rules_of_both_files() -> None:
    assert len(rules_of(test_learners)) >= 12 and len(rules_of(test_learners_training)) >= 8


def test_the_bias_is_the_minimum_of_the_penalised_loss() -> None:
    learner, net = learner_of(net_of(), NAME, {"shrinkage": 3.0}), net_of().requires_grad_(False)
    actual = learner.adapt(TASKS, Budget(1)).params["head.bias"]
    for bias, task in zip(actual, TASKS, strict=True):
        offset = (bias - net.head.bias).requires_grad_()
        objective = regression_loss(lambda x, b=offset: net(x) + b, task.support) + 1.5 * offset.square().sum()
        assert abs(float(torch.autograd.grad(objective, offset)[0])) < 1e-10


def test_meta_training_learns_the_shrinkage_by_the_query_loss() -> None:
    trainer = trainer_of(net_of(), NAME, {"outer_lr": 0.05})
    before = trainer.learner.state_dict()["log_shrinkage"].clone()
    losses = [trainer.step(TASKS).loss_after for _ in range(30)]
    after = trainer.learner.state_dict()["log_shrinkage"].clone()
    assert losses[-1] < losses[0] and abs(float(after - before)) > 0.5
    gradient, step = trainer.learner.meta_gradient(TASKS).gradient["log_shrinkage"], 1e-5
    values = list[float]()
    for sign in (1, -1):
        with torch.no_grad():
            trainer.learner.get_parameter("log_shrinkage").copy_(after + sign * step)
            values.append(float(trainer.learner.meta_loss(TASKS).sum()))
    assert float(gradient) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)
