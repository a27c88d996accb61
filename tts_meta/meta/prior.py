"""`ShrinkagePrior`: the Gaussian prior of the adapted parameters, with one variance for each module.

For the parameters of each module m, θ_m ~ N(φ_m, σ²_m I) (Chen et al. 2020, equation 4).

Solvers store the displacement δ = θ - φ, not θ. If σ is very small, δ is far below the rounding error of φ. The
gradient of σ needs ε = δ/σ, which could then not be computed from θ.
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
"""Bounds of the learned log σ². At the bounds a module is in effect fixed or free, and float32 does not overflow."""

HyperpriorName = Literal["flat", "half-cauchy", "exponential"]


@dataclass(frozen=True)
class ShrinkagePrior:
    """A prior with one log σ² per module, `(M,)`; +inf means that a module has no prior.

    The methods are differentiable in `log_variances`. Raises TtsMetaError for another shape, NaN, or a variance of 0.
    """

    layout: ParameterLayout
    log_variances: Tensor

    def __post_init__(self) -> None:
        count, shape = len(self.layout.modules), tuple(self.log_variances.shape)
        if shape != (count,):
            raise TtsMetaError(f"the log variances of {count} modules must have the shape ({count},), not {shape}")
        not_positive = self.log_variances.isnan() | (self.log_variances == -math.inf)
        if not_positive.any():
            module = self.layout.modules[int(not_positive.nonzero()[0, 0])]
            raise TtsMetaError(f"the prior variance of '{module}' must be positive, not 0 or NaN")

    @classmethod
    def isotropic(cls, layout: ParameterLayout, variance: float) -> ShrinkagePrior:
        """Return a prior with one variance for all modules; infinity means no prior.

        Raises TtsMetaError if the variance is not positive.
        """
        if not variance > 0:
            raise TtsMetaError(f"the prior variance must be positive, not {variance}")
        return cls(layout, torch.full((len(layout.modules),), math.log(variance)))

    @property
    def is_proper(self) -> bool:
        """Whether every module has a finite variance."""
        return bool(torch.isfinite(self.log_variances).all())

    @property
    def is_absent(self) -> bool:
        """Whether no module has a prior."""
        return bool(torch.isposinf(self.log_variances).all())

    def precision(self) -> Tensor:
        """Return 1/σ² of each parameter, `(P,)`."""
        return self.layout.expand_modules(torch.exp(-self.log_variances))

    def standard_deviation(self) -> Tensor:
        """Return σ of each parameter, `(P,)`."""
        return self.layout.expand_modules(torch.exp(0.5 * self.log_variances))

    def penalty(self, displacement: Tensor) -> Tensor:
        """Return Σ_m ‖δ_m‖² / (2σ²_m) in nats: `(..., P)` to `(...)`."""
        return 0.5 * (displacement.square() * self.precision()).sum(-1)


def proximal_step(displacement: Tensor, step_size: Tensor | float, precision: Tensor | None) -> Tensor:
    """Return δ / (1 + η/σ²), the proximal step of the penalty, exact for any η and σ². precision: None if no prior."""
    if precision is None:
        return displacement
    if isinstance(step_size, Tensor):
        return displacement / (1 + step_size * precision)
    return displacement / torch.add(precision.new_ones(()), precision, alpha=step_size)


def hyperprior_nll(log_variances: Tensor, kind: HyperpriorName, scale: float = 1.0) -> Tensor:
    """Return -log p(σ) without its constant, summed over modules, a scalar.

    half-cauchy: log(1 + σ²/scale²) (Gelman 2006). exponential: σ/scale. flat: 0. Raises TtsMetaError for another kind.
    """
    if kind == "flat":
        return log_variances.sum() * 0
    if kind == "half-cauchy":
        return torch.log1p(torch.exp(log_variances) / scale**2).sum()
    if kind == "exponential":
        return torch.exp(0.5 * log_variances).sum() / scale
    raise TtsMetaError(f"no hyperprior '{kind}'; known: flat, half-cauchy, exponential")
