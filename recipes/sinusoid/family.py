"""`Sinusoids`: tasks with a few noisy points of a sinusoid of random amplitude and phase, and a small network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from recipes.toy_benchmark import split_tasks
from tts_meta.config import Section
from tts_meta.meta import Task


class Net(nn.Module):
    """1-W-W-1 with tanh. The input is joined with a context of C values, which are zero at the start.

    Its layers are the modules `context`, `first`, `second` and `head`.
    """

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.context = nn.Parameter(torch.zeros(context))
        self.first = nn.Linear(1 + context, width)
        self.second = nn.Linear(width, width)
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x `(N, 1)` to the mean of y `(N, 1)`."""
        # W [x; c] + b = w x + (C c + b): the context's product is computed once, not once per point.
        weight, shift = self.first.weight, self.context @ self.first.weight[:, 1:].T + self.first.bias
        hidden = torch.tanh(x * weight[:, 0] + shift)
        return self.head(torch.tanh(self.second(hidden)))


class Sinusoids(Section):
    """y = a sin(x - b) + noise with a ~ U[0.1, 5], b ~ U[0, π] and x ~ U[-5, 5] (Finn et al. 2017, with noise)."""

    support: int = Field(default=5, gt=0)
    """Support points of a task."""
    query: int = Field(default=10, gt=0)
    """Query points of a task, also with noise."""
    noise: float = Field(default=0.3, gt=0)
    """Standard deviation of the noise, known to the likelihood."""
    width: int = Field(default=40, gt=0)
    """Units of each of the two hidden layers."""
    context: int = Field(default=4, gt=0)
    """Values of the context."""

    @property
    def roles(self) -> Mapping[str, Sequence[str]]:
        return {"head": ["head"], "context": ["context"]}

    def loss(self, call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        """-log p(y | x, θ) without its constant, summed over points."""
        x, y = data
        return 0.5 * (call(x) - y).square().sum() / self.noise**2

    def squared_error(self, nats: Tensor) -> Tensor:
        """Mean squared error on the query, from its loss."""
        return nats * 2 * self.noise**2 / self.query

    def model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Net(self.width, self.context)

    def tasks(self, count: int, seed: int) -> list[Task]:
        generator = torch.Generator().manual_seed(seed)

        def uniform(low: float, high: float, points: int) -> Tensor:
            return low + (high - low) * torch.rand(count, points, 1, generator=generator)

        points = self.support + self.query
        amplitude, phase, x = uniform(0.1, 5.0, 1), uniform(0.0, math.pi, 1), uniform(-5.0, 5.0, points)
        y = amplitude * torch.sin(x - phase) + self.noise * torch.randn(count, points, 1, generator=generator)
        return split_tasks(x, y, self.support)
