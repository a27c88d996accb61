"""What a meta-step adds up over tasks and processes, and reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.distributed as dist

from tts_meta.meta.linear import Outcome
from tts_meta.meta.meta_gradients import MetaGradient, MetaParams


@dataclass(frozen=True)
class MetaStepMetrics:
    """What a meta-step did; losses are query sums in nats, means over the finite tasks: NaN where none is.

    before, after: at φ and at θ̂. stationarity, residual: means, of the inner and of the linear solve. products: with
    Hessians, in all. outcomes: linear solves by how they ended. skipped: tasks that were not finite.
    """

    tasks: int
    skipped: int
    before: float
    after: float
    gradient_norm: float
    stationarity: float
    residual: float
    products: int
    outcomes: Mapping[str, int] = field(default_factory=dict)


class TaskSums:
    """Sums over tasks as one vector, so that processes add theirs in one all-reduce."""

    _SCALARS = ("count", "before", "after", "stationarity", "residual", "products")

    def __init__(self, meta: MetaParams) -> None:
        self.sizes = [value.numel() for value in meta]
        self.shapes = [value.shape for value in meta]
        self.kinds = list(Outcome)
        extra = len(self._SCALARS) + len(self.kinds)
        self.vector = torch.zeros(sum(self.sizes) + extra, dtype=meta.adapted.dtype, device=meta.adapted.device)

    def add(self, part: MetaGradient) -> None:
        numbers = [len(part.after), *(float(v.sum()) for v in (part.before, part.after))]
        numbers += [float(part.stationarity.sum()), float(part.residual.sum()), part.products]
        numbers += [part.outcomes.count(kind) for kind in self.kinds]
        flat = [value.detach().flatten() for value in part.gradient]
        self.vector += torch.cat([*flat, torch.tensor(numbers, dtype=self.vector.dtype, device=self.vector.device)])

    def reduce(self, world: int) -> None:
        if world > 1:
            dist.all_reduce(self.vector)

    @property
    def count(self) -> float:
        return self._scalar("count")

    def mean(self) -> MetaParams:
        parts = (self.vector[: sum(self.sizes)] / self.count).split(self.sizes)
        return MetaParams(*(part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)))

    def result(self, tasks: int) -> MetaStepMetrics:
        names = self.vector[-len(self.kinds) :].tolist()
        return MetaStepMetrics(
            tasks=tasks,
            skipped=tasks - int(self.count),
            before=self._mean("before"),
            after=self._mean("after"),
            gradient_norm=float(self.vector[: self.sizes[0] + self.sizes[1]].norm()) / max(self.count, 1),
            stationarity=self._mean("stationarity"),
            residual=self._mean("residual"),
            products=int(self._scalar("products")),
            outcomes={k.name.lower(): int(n) for k, n in zip(self.kinds, names, strict=True) if n},
        )

    def _mean(self, name: str) -> float:
        """NaN where no task was finite."""
        return self._scalar(name) / self.count if self.count else math.nan

    def _scalar(self, name: str) -> float:
        return float(self.vector[sum(self.sizes) + self._SCALARS.index(name)])
