"""`ShrinkagePrior`: θ_m ~ N(φ_m, σ²_m I) for the parameters of each module m (Chen et al. 2020, equation 4).

Solvers keep the displacement δ = θ - φ, not θ. If σ is tiny, δ is far below the rounding error of φ, and ε = δ/σ, which
the gradient of σ needs, could not be computed from θ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError
from tts_meta.meta.parameter_layout import ParameterLayout

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -40.0, 20.0
"""Bounds of the learned log σ², at which a module is in effect fixed or free. Single precision does not overflow."""

HyperpriorName = Literal["flat", "half-cauchy", "exponential"]


@dataclass(frozen=True)
class ShrinkagePrior:
    """One log σ² per module, `(M,)`; +inf leaves a module free. Differentiable in `log_variances`."""

    layout: ParameterLayout
    log_variances: Tensor

    def __post_init__(self) -> None:
        count, shape = len(self.layout.modules), tuple(self.log_variances.shape)
        if shape != (count,):
            raise TtsMetaError(f"{count} modules need log variances of shape ({count},), not {shape}")
        not_positive = self.log_variances.isnan() | (self.log_variances == -math.inf)
        if not_positive.any():
            module = self.layout.modules[int(not_positive.nonzero()[0, 0])]
            raise TtsMetaError(f"the prior variance of '{module}' must be positive")

    @classmethod
    def isotropic(cls, layout: ParameterLayout, variance: float) -> ShrinkagePrior:
        """The same variance for all modules; infinity means no prior. Raises TtsMetaError unless it is positive."""
        if not variance > 0:
            raise TtsMetaError(f"the prior variance must be positive, not {variance}")
        return cls(layout, torch.full((len(layout.modules),), math.log(variance)))

    @property
    def is_proper(self) -> bool:
        """Whether every module has a finite variance."""
        return bool(torch.isfinite(self.log_variances).all())

    @property
    def is_absent(self) -> bool:
        """Whether every module is free."""
        return bool(torch.isposinf(self.log_variances).all())

    def precision(self) -> Tensor:
        """1/σ² of each parameter, `(P,)`."""
        return self.layout.expand_modules(torch.exp(-self.log_variances))

    def standard_deviation(self) -> Tensor:
        """σ of each parameter, `(P,)`."""
        return self.layout.expand_modules(torch.exp(0.5 * self.log_variances))

    def penalty(self, displacement: Tensor) -> Tensor:
        """Σ_m ‖δ_m‖² / (2σ²_m), nats: `(..., P)` to `(...)`."""
        return 0.5 * (displacement.square() * self.precision()).sum(-1)


def proximal_step(displacement: Tensor, step_size: Tensor | float, precision: Tensor | None) -> Tensor:
    """Proximal step of the penalty, δ ← δ / (1 + η/σ²), exact for any η and σ². A precision of None means no prior."""
    if precision is None:
        return displacement
    if isinstance(step_size, Tensor):
        return displacement / (1 + step_size * precision)
    return displacement / torch.add(precision.new_ones(()), precision, alpha=step_size)


def hyperprior_nll(log_variances: Tensor, kind: HyperpriorName, scale: float = 1.0) -> Tensor:
    """-log p(σ) without its constant, summed over modules, a scalar.

    half-Cauchy: log(1 + σ²/scale²) (Gelman 2006). exponential: σ/scale. flat: 0.
    """
    if kind == "flat":
        return log_variances.sum() * 0
    if kind == "half-cauchy":
        return torch.log1p(torch.exp(log_variances) / scale**2).sum()
    if kind == "exponential":
        return torch.exp(0.5 * log_variances).sum() / scale
    raise TtsMetaError(f"no hyperprior '{kind}'; known: flat, half-cauchy, exponential")
