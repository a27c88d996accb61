"""`TaskSums` and `MetaStepMetrics`: sums over the tasks and processes of a meta-step, and the metrics from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.distributed as dist

from tts_meta.meta.linear_solvers import Outcome
from tts_meta.meta.meta_gradients import MetaGradient, MetaParams


@dataclass(frozen=True)
class MetaStepMetrics:
    """Metrics of a meta-step. Losses are query losses in nats, means over the finite tasks; NaN if no task is finite.

    skipped: number of tasks that were not finite. loss_before, loss_after: losses at φ and at θ̂. gradient_norm: norm of
    the gradient of φ and the shared parameters together. stationarity, residual: means of those of `MetaGradient`.
    hessian_products: total number. outcomes: number of linear solves for each `Outcome`, by its name in lower case.
    """

    tasks: int
    skipped: int
    loss_before: float
    loss_after: float
    gradient_norm: float
    stationarity: float
    residual: float
    hessian_products: int
    outcomes: Mapping[str, int] = field(default_factory=dict)


class TaskSums:
    """Sums over tasks in one vector, so that one all-reduce adds the sums of all processes."""

    _SCALARS = ("count", "loss_before", "loss_after", "stationarity", "residual", "hessian_products")

    def __init__(self, meta: MetaParams) -> None:
        self.sizes = [value.numel() for value in meta]
        self.shapes = [value.shape for value in meta]
        self.outcomes = list(Outcome)
        extra = len(self._SCALARS) + len(self.outcomes)
        self.vector = torch.zeros(sum(self.sizes) + extra, dtype=meta.adapted.dtype, device=meta.adapted.device)

    def add(self, part: MetaGradient) -> None:
        """Add the sums of some tasks."""
        numbers = [len(part.loss_after), *(float(v.sum()) for v in (part.loss_before, part.loss_after))]
        numbers += [float(part.stationarity.sum()), float(part.residual.sum()), part.hessian_products]
        numbers += [part.outcomes.count(outcome) for outcome in self.outcomes]
        flat = [value.detach().flatten() for value in part.gradient]
        self.vector += torch.cat([*flat, torch.tensor(numbers, dtype=self.vector.dtype, device=self.vector.device)])

    def reduce(self, world: int) -> None:
        """Add the sums of the other processes."""
        if world > 1:
            dist.all_reduce(self.vector)

    @property
    def count(self) -> float:
        """Number of finite tasks."""
        return self._scalar("count")

    def mean_gradient(self) -> MetaParams:
        """Return the mean gradient over the finite tasks."""
        parts = (self.vector[: sum(self.sizes)] / self.count).split(self.sizes)
        return MetaParams(*(part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)))

    def metrics(self, tasks: int) -> MetaStepMetrics:
        """Return the metrics of a meta-step on `tasks` tasks."""
        counts = self.vector[-len(self.outcomes) :].tolist()
        return MetaStepMetrics(
            tasks=tasks,
            skipped=tasks - int(self.count),
            loss_before=self._mean("loss_before"),
            loss_after=self._mean("loss_after"),
            gradient_norm=float(self.vector[: self.sizes[0] + self.sizes[1]].norm()) / max(self.count, 1),
            stationarity=self._mean("stationarity"),
            residual=self._mean("residual"),
            hessian_products=int(self._scalar("hessian_products")),
            outcomes={k.name.lower(): int(n) for k, n in zip(self.outcomes, counts, strict=True) if n},
        )

    def _mean(self, name: str) -> float:
        return self._scalar(name) / self.count if self.count else math.nan

    def _scalar(self, name: str) -> float:
        return float(self.vector[sum(self.sizes) + self._SCALARS.index(name)])
