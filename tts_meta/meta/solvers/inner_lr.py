"""`StepSizeSchedule`: inner step sizes, fixed or learned (one, one per parameter, or one per module and step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from tts_meta.meta.parameter_layout import ParameterLayout

StepSizeKind = Literal["fixed", "scalar", "parameter", "module-step"]


@dataclass(frozen=True)
class StepSizeSchedule:
    """The step size of each inner step, from the learned values.

    kind: the values have the shape `()` for fixed and scalar, `(P,)` for parameter (Meta-SGD, Li et al. 2017), and
    `(M, K)` for module-step (MAML++, Antoniou et al. 2019). The last column of `(M, K)` is also used for the steps
    after K. A scalar is updated by its hypergradient (Alpha-MAML, Behl et al. 2019).
    initial: the value of all step sizes before meta-training. steps: K.
    final: a step size decays linearly over an inner loop to this fraction of its value.
    """

    kind: StepSizeKind
    layout: ParameterLayout
    initial: float
    steps: int
    final: float = 1.0

    @property
    def learned(self) -> bool:
        """Whether meta-training updates the values."""
        return self.kind != "fixed"

    def create(self, like: Tensor) -> Tensor:
        """Return the values before meta-training, with the dtype and the device of `like`."""
        shape = {
            "fixed": (),
            "scalar": (),
            "parameter": (self.layout.size,),
            "module-step": (len(self.layout.modules), max(1, self.steps)),
        }[self.kind]
        return like.new_full(shape, self.initial)

    def without_decay(self) -> StepSizeSchedule:
        """Return the same step sizes without the decay over an inner loop."""
        return replace(self, final=1.0)

    def schedule(self, values: Tensor, steps: int) -> Callable[[int], Tensor | float]:
        """Return a function from step to η, for a loop of `steps` steps. A fixed η is a float and has no gradient."""
        fixed = float(values.detach()) if self.kind == "fixed" else None

        def step_size(step: int) -> Tensor | float:
            value = self.at(values, step) if fixed is None else fixed
            return value if self.final == 1 else value * (1 - (1 - self.final) * step / steps)

        return step_size

    def at(self, values: Tensor, step: int) -> Tensor:
        """Return η of step `step` (from 0) without the decay, `()` or `(P,)`; differentiable in `values`."""
        if self.kind == "module-step":
            return self.layout.expand_modules(values[:, min(step, values.shape[1] - 1)])
        return values
