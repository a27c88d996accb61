"""Inner step sizes: fixed, learned as one number, per parameter (Meta-SGD), or per module and step (MAML++)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tts_meta.meta.parameters import Layout

StepSizeName = Literal["fixed", "scalar", "parameter", "module-step"]


@dataclass(frozen=True)
class StepSizes:
    """Where the step size of each step comes from.

    fixed and scalar: `()`; parameter: `(P,)` (Li et al. 2017); module-step: `(M, K)` (Antoniou et al. 2019), the last
    column serving steps past K. scalar is moved by its hypergradient (Alpha-MAML, Behl et al. 2019). final: the part of
    them that they fall to, in a line, over an inner loop.
    """

    kind: StepSizeName
    layout: Layout
    initial: float
    steps: int
    final: float = 1.0

    @property
    def learned(self) -> bool:
        """Whether meta-training moves them."""
        return self.kind != "fixed"

    def create(self) -> Tensor:
        """Step sizes at the start, in double precision."""
        shape = {
            "fixed": (),
            "scalar": (),
            "parameter": (self.layout.size,),
            "module-step": (len(self.layout.modules), max(1, self.steps)),
        }[self.kind]
        return torch.full(shape, self.initial, dtype=torch.float64)

    def schedule(self, values: Tensor, steps: int) -> Callable[[int], Tensor | float]:
        """η of each of `steps` steps; a fixed step size is a plain number, that no gradient is kept for."""
        fixed = float(values.detach()) if self.kind == "fixed" else None

        def rate(step: int) -> Tensor | float:
            own = self.at(values, step) if fixed is None else fixed
            return own if self.final == 1 else own * (1 - (1 - self.final) * step / steps)

        return rate

    def at(self, values: Tensor, step: int) -> Tensor:
        """η of step `step` (from 0) before it falls, a number or `(P,)`; differentiable in `values`."""
        if self.kind == "module-step":
            return self.layout.spread(values[:, min(step, values.shape[1] - 1)])
        return values
