"""`LinearGaussian`: linear regressions whose coefficients are drawn from the prior, with known φ and σ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from recipes.toy_benchmark import gaussian_loss, split_tasks
from tts_meta.config import Section
from tts_meta.meta import Task
from tts_meta.meta.domain import LossFunction


class Sum(nn.Module):
    """y = Σ_m θ_m · x_m: one layer per module, each with a separate part of the input."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(size, 1, bias=False))
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """`(N, P)` to `(N,)`."""
        parts = zip(self.children(), x.split(self.size, -1), strict=True)
        return torch.stack([layer(part).squeeze(-1) for layer, part in parts]).sum(0)


class LinearGaussian(Section):
    """Tasks with θ_m ~ N(φ_m, σ²_m I); P = modules × size coefficients."""

    deviations: dict[str, float]
    """True σ of each module by name; zero for a module that all tasks share."""
    size: int = Field(default=8, gt=0)
    """Coefficients per module."""
    points: int = Field(default=40, gt=0)
    """Support points of a task; the query has the same number."""
    noise: float = Field(default=2.0, gt=0)
    """Standard deviation of the noise, known to the likelihood."""
    correlation: float = Field(default=0.3, ge=0, lt=1)
    """Correlation of an input of one module with the same input of another; one module can then act for another."""

    @property
    def roles(self) -> Mapping[str, Sequence[str]]:
        """No module is a head or a context."""
        return {}

    @property
    def centre(self) -> Tensor:
        """True φ `(P,)`, the same for every seed of tasks."""
        generator = torch.Generator().manual_seed(2020)
        return torch.randn(len(self.deviations) * self.size, generator=generator)

    @property
    def deviation(self) -> Tensor:
        """True σ of each coefficient `(P,)`."""
        return torch.tensor(list(self.deviations.values())).repeat_interleave(self.size)

    @property
    def loss(self) -> LossFunction:
        return gaussian_loss(self.noise)

    def model(self, seed: int) -> nn.Module:
        """A model with random coefficients, independent of φ."""
        torch.manual_seed(seed)
        return Sum(list(self.deviations), self.size)

    def inputs(self, count: int, generator: torch.Generator) -> Tensor:
        """Inputs of `count` tasks `(T, 2 N, P)` with variance 1; the first half of the points is the support."""
        shape = (count, 2 * self.points, len(self.deviations), self.size)
        separate = torch.randn(shape, generator=generator)
        common = torch.randn(*shape[:2], 1, self.size, generator=generator)
        return ((1 - self.correlation) ** 0.5 * separate + self.correlation**0.5 * common).flatten(2)

    def coefficients(self, count: int, generator: torch.Generator) -> Tensor:
        """θ of `count` tasks `(T, P)`."""
        return self.centre + self.deviation * torch.randn(count, len(self.centre), generator=generator)

    def tasks(self, count: int, seed: int) -> list[Task]:
        """Tasks drawn at random; the same seed gives the same tasks."""
        generator = torch.Generator().manual_seed(seed)
        x, theta = self.inputs(count, generator), self.coefficients(count, generator)
        noise = self.noise * torch.randn(x.shape[:2], generator=generator)
        return split_tasks(x, torch.einsum("tnp,tp->tn", x, theta) + noise, self.points)
