"""`StepSizeSchedule`: inner step sizes that are fixed or learned (one, per parameter, or per module and step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tts_meta.meta.parameter_layout import ParameterLayout

StepSizeKind = Literal["fixed", "scalar", "parameter", "module-step"]


@dataclass(frozen=True)
class StepSizeSchedule:
    """The step size of each inner step, from the learned values.

    kind, with the shape of the values: fixed and scalar `()`; parameter `(P,)` (Meta-SGD, Li et al. 2017); module-step
    `(M, K)` (MAML++, Antoniou et al. 2019), whose last column also serves the steps after K. A scalar is moved by its
    hypergradient (Alpha-MAML, Behl et al. 2019).
    initial: the value of all step sizes before meta-training. steps: K.
    final: the fraction of its value to which a step size falls, linearly, over an inner loop.
    """

    kind: StepSizeKind
    layout: ParameterLayout
    initial: float
    steps: int
    final: float = 1.0

    @property
    def learned(self) -> bool:
        """Whether meta-training moves the values."""
        return self.kind != "fixed"

    def create(self) -> Tensor:
        """The values before meta-training, in double precision."""
        shape = {
            "fixed": (),
            "scalar": (),
            "parameter": (self.layout.size,),
            "module-step": (len(self.layout.modules), max(1, self.steps)),
        }[self.kind]
        return torch.full(shape, self.initial, dtype=torch.float64)

    def schedule(self, values: Tensor, steps: int) -> Callable[[int], Tensor | float]:
        """η of each step of a loop of `steps` steps. A fixed step size is a float, for which no gradient is kept."""
        fixed = float(values.detach()) if self.kind == "fixed" else None

        def step_size(step: int) -> Tensor | float:
            value = self.at(values, step) if fixed is None else fixed
            return value if self.final == 1 else value * (1 - (1 - self.final) * step / steps)

        return step_size

    def at(self, values: Tensor, step: int) -> Tensor:
        """η of step `step` (from 0) without the linear fall, `()` or `(P,)`; differentiable in `values`."""
        if self.kind == "module-step":
            return self.layout.expand_modules(values[:, min(step, values.shape[1] - 1)])
        return values
