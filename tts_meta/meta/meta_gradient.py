"""`MetaGradient`: the gradient of a learner's meta-parameters from some tasks, with measurements of each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tts_meta.meta.parameter_layout import Params


@dataclass(frozen=True)
class MetaGradient:
    """The gradient summed over T tasks, and measurements of each task.

    gradient: by the name of the learner's parameter; a parameter without an entry has no gradient. loss_before,
    loss_after: query losses at φ and after adaptation, `(T,)` nats. statistics: `(T,)` each, with the names in
    `MetaLearner.statistics`. counts: numbers of events, with the names in `MetaLearner.counts`.
    """

    gradient: Params
    loss_before: Tensor
    loss_after: Tensor
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Whether all numbers of the gradient and of the measurements are finite."""
        # `aminmax` of a vector with NaN is NaN, and allocates nothing of the vector's size.
        numbers = (*self.gradient.values(), self.loss_before, self.loss_after, *self.statistics.values())
        extremes = [extreme for value in numbers if value.numel() for extreme in value.detach().aminmax()]
        return bool(torch.stack([extreme.cpu().double() for extreme in extremes]).isfinite().all())
