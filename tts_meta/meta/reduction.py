"""`TaskSums` and `MetaStepMetrics`: sums over the tasks and processes of a meta-step, and the metrics from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from tts_meta.meta.learner import MetaLearner
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.parameter_layout import Params


@dataclass(frozen=True)
class MetaStepMetrics:
    """Metrics of a meta-step. Losses are query losses in nats, means over the finite tasks; NaN if no task is finite.

    skipped: number of tasks that were not finite or had no data. loss_before, loss_after: losses at φ and after
    adaptation. gradient_norm: norm of the mean gradient, before clipping, of the parameters that clipping concerns.
    statistics: means over tasks, by the names in `MetaLearner.statistics`. counts: sums over tasks, without zeros.
    """

    tasks: int
    skipped: int
    loss_before: float
    loss_after: float
    gradient_norm: float
    statistics: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


class TaskSums:
    """Sums over tasks in one vector, so that one all-reduce adds the sums of all processes."""

    def __init__(self, learner: MetaLearner) -> None:
        self._parameters = {name: value for name, value in learner.named_parameters() if value.requires_grad}
        self._clipped = {name for group in learner.parameter_groups() if group.clipped for name in group.names}
        self._statistics, self._counts = learner.statistics, learner.counts
        self._sizes = [value.numel() for value in self._parameters.values()]
        self._length = sum(self._sizes)
        first = next(iter(self._parameters.values()), torch.zeros(()))
        # tasks, loss_before, loss_after, statistics, counts
        numbers = 3 + len(self._statistics) + len(self._counts)
        self.vector = torch.zeros(self._length + numbers, dtype=first.dtype, device=first.device)

    def add(self, part: MetaGradient) -> None:
        """Add the sums of some tasks."""
        flat = [
            part.gradient[name].detach().flatten() if name in part.gradient else torch.zeros_like(value).flatten()
            for name, value in self._parameters.items()
        ]
        numbers = [len(part.loss_after), *(float(v.sum()) for v in (part.loss_before, part.loss_after))]
        numbers += [float(part.statistics[name].sum()) for name in self._statistics]
        numbers += [part.counts[name] for name in self._counts]
        self.vector += torch.cat([*flat, torch.tensor(numbers, dtype=self.vector.dtype, device=self.vector.device)])

    def reduce(self, world: int) -> None:
        """Add the sums of the other processes."""
        if world > 1:
            dist.all_reduce(self.vector)

    @property
    def count(self) -> float:
        """Number of finite tasks."""
        return float(self.vector[self._length])

    def mean_gradient(self) -> Params:
        """Return the mean gradient over the finite tasks, by name."""
        parts = (self.vector[: self._length] / self.count).split(self._sizes)
        named = zip(self._parameters.items(), parts, strict=True)
        return {name: part.reshape(value.shape) for (name, value), part in named}

    def metrics(self, tasks: int) -> MetaStepMetrics:
        """Return the metrics of a meta-step on `tasks` tasks."""
        numbers = self.vector[self._length :].tolist()
        split = 3 + len(self._statistics)
        means = [value / self.count if self.count else math.nan for value in numbers[1:split]]
        return MetaStepMetrics(
            tasks=tasks,
            skipped=tasks - int(self.count),
            loss_before=means[0],
            loss_after=means[1],
            gradient_norm=float(self._clipped_sum().norm()) / max(self.count, 1),
            statistics=dict(zip(self._statistics, means[2:], strict=True)),
            counts={name: int(n) for name, n in zip(self._counts, numbers[split:], strict=True) if n},
        )

    def _clipped_sum(self) -> Tensor:
        """Return the summed gradient of the parameters that clipping concerns, as one vector."""
        parts = self.vector[: self._length].split(self._sizes)
        chosen = [part for name, part in zip(self._parameters, parts, strict=True) if name in self._clipped]
        return torch.cat(chosen) if chosen else self.vector.new_zeros(1)
