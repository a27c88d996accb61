"""The prior of a task's parameters: θ_m ~ N(φ_m, σ²_m I) for each module m (Chen et al. 2020, equation 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError

Params = dict[str, Tensor]


@dataclass(frozen=True)
class ShrinkagePrior:
    """One variance σ² a module, given for each of its parameters by name; infinity leaves a parameter free."""

    variances: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, variance in self.variances.items():
            if not variance > 0:
                raise TtsMetaError(f"the prior variance of '{name}' must be positive, not {variance}")

    @classmethod
    def isotropic(cls, names: tuple[str, ...], variance: float) -> ShrinkagePrior:
        """One variance for all parameters named."""
        return cls(dict.fromkeys(names, variance))

    def penalty(self, params: Params, meta_params: Params) -> Tensor:
        """Σ_m ‖θ_m - φ_m‖² / (2σ²_m), nats, a scalar."""
        terms = [
            (value - meta_params[name]).square().sum() / (2 * self.variances[name]) for name, value in params.items()
        ]
        return torch.stack(terms).sum()

    def proximal_(self, name: str, value: Tensor, meta_value: Tensor, step_size: Tensor) -> Tensor:
        """Proximal step of the penalty of one parameter, in place; `step_size` η, of its shape, is used up.

        θ ← (θ + (η/σ²) φ) / (1 + η/σ²), exact at any η and σ² (DESIGN, section 2).
        """
        variance = self.variances[name]
        if variance == float("inf"):
            return value
        return value.lerp_(meta_value, step_size.div_(step_size + variance))
