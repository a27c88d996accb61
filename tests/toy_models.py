"""Models with the features of real models (buffers, normalisation, dropout) for the tests of meta-learning."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils import spectral_norm as hooked_spectral_norm
from toy_domains import (
    EVERY,
    TRAINABLE,
    Net,
    make_learner,
    make_trainer,
    regression_domain,
    regression_task,
)

from tts_meta.meta import MetaLearner, MetaTrainer, Task

every_learner = pytest.mark.parametrize("name", EVERY)
trainable_learner = pytest.mark.parametrize("name", TRAINABLE)
# The variance is so small that no system is indefinite. Rounding would decide where the solve of such a system ends.
SETTINGS: dict[str, Any] = {
    "inner_lr": 0.004,
    "inner_steps": 3,
    "outer_lr": 0.01,
    "variance": 0.003,
    "cg_max_iters": 20,
}
TASKS = [regression_task(seed) for seed in range(3)]
Make = Callable[[], nn.Module]


class Body(nn.Module):
    """1-6-1 with any layer in the middle, and a context."""

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
    """Counts its calls in place and replaces another buffer; the output depends on the count."""

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


def trainer_of(
    model: nn.Module,
    name: str = "sigma-maml",
    settings: dict[str, Any] = SETTINGS,
    *,
    vectorised: bool = False,
    **more: Any,
) -> MetaTrainer:
    """A trainer of a learner for regression tasks; `more` are arguments of `make_trainer`."""
    return make_trainer(name, settings, regression_domain(model, vectorised=vectorised), **more)


def learner_of(
    model: nn.Module,
    name: str = "sigma-maml",
    settings: dict[str, Any] = SETTINGS,
    *,
    vectorised: bool = False,
    **more: Any,
) -> MetaLearner:
    """A learner for regression tasks; `more` are arguments of `MetaLearner`."""
    return make_learner(name, settings, regression_domain(model, vectorised=vectorised), **more)


class Dropping(Net):
    """Draws from torch's generator with two kinds of operation."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.4) + 0.3 * torch.randn_like(x)


def with_random_draws(task: Task) -> Task:
    """The task with inner steps that draw some points from all three global generators."""
    x, y = task.support

    def draw(step: int) -> Any:
        rows = [int(torch.randint(6, ())), int(np.random.randint(6)), random.randrange(6), step % 6]
        return x[rows] + 0.01 * torch.randn(1), y[rows]

    return Task(task.support, task.query, draw, task.name)
