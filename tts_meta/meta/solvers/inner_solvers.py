"""`Adam` and `GradientDescent`: solvers that compute one inner step and apply the prior as a proximal step.

A solver has the methods `init` and `step`; `run_inner_loop` contains the loop. A step updates δ = θ - φ by the gradient
of the likelihood, and then by a proximal step for the prior. The proximal step is stable for any σ²; gradient descent
on the penalty diverges if σ² is small. Each task is a row of δ `(T, P)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tts_meta.meta.prior import proximal_step

StepSize = Tensor | float
"""Step size η: one number, or one per parameter `(P,)`."""

SolverState = tuple[Tensor, ...]
"""State of a solver between steps: tensors with the shape of δ."""


class InnerSolver(Protocol):
    """One step of a solver; every operation is differentiable and elementwise."""

    def init(self, displacement: Tensor) -> SolverState:
        """Return the state before the first step."""
        ...

    def step(
        self,
        displacement: Tensor,
        gradient: Tensor,
        state: SolverState,
        count: int,
        step_size: StepSize,
        precision: Tensor | None,
    ) -> tuple[Tensor, SolverState]:
        """Return δ `(T, P)` and the state after step `count` (from 1).

        displacement: δ `(T, P)`. gradient: of the likelihood, `(T, P)`. precision: 1/σ² `(P,)`; None means no prior.
        """
        ...


@dataclass(frozen=True)
class GradientDescent:
    """Proximal gradient descent: δ ← prox(δ - η ∇)."""

    def init(self, displacement: Tensor) -> SolverState:
        return ()

    def step(
        self,
        displacement: Tensor,
        gradient: Tensor,
        state: SolverState,
        count: int,
        step_size: StepSize,
        precision: Tensor | None,
    ) -> tuple[Tensor, SolverState]:
        if isinstance(step_size, Tensor):
            return proximal_step(displacement - step_size * gradient, step_size, precision), state
        return proximal_step(torch.add(displacement, gradient, alpha=-step_size), step_size, precision), state


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015) on the likelihood, then the proximal step of the prior in Adam's metric.

    The proximal step of each parameter uses the step size that multiplied its gradient, η / (√v̂ + ε). The fixed point
    is then the MAP estimate, ∇ + (θ - φ) / σ² = 0. With η alone, the fixed point would be |θ - φ| = σ² for a gradient
    of any size.
    """

    beta_first: float = 0.9
    beta_second: float = 0.98
    epsilon: float = 1e-8

    def init(self, displacement: Tensor) -> SolverState:
        return torch.zeros_like(displacement), torch.zeros_like(displacement)

    def step(
        self,
        displacement: Tensor,
        gradient: Tensor,
        state: SolverState,
        count: int,
        step_size: StepSize,
        precision: Tensor | None,
    ) -> tuple[Tensor, SolverState]:
        first = state[0].lerp(gradient, 1 - self.beta_first)
        second = torch.addcmul(state[1] * self.beta_second, gradient, gradient, value=1 - self.beta_second)
        # The square root has no derivative at zero. 1e-30 is near the smallest number of single precision.
        root = (second + 1e-30).sqrt() * (1 - self.beta_second**count) ** -0.5 + self.epsilon
        metric = step_size / root
        moved = displacement - metric * first / (1 - self.beta_first**count)
        return proximal_step(moved, metric, precision), (first, second)


@dataclass(frozen=True)
class Lbfgs:
    """Limited-memory BFGS (Liu and Nocedal 1989) on the objective of all support data, `solvers/lbfgs.py`.

    Its steps are not differentiable, and it has no step size. memory: number of pairs of steps and gradient changes
    that approximate the curvature. tolerance: a task has converged if ‖S∇ℓ + ε‖ is at most this fraction of ‖ε‖, where
    S = diag(σ) and ε = δ/σ.
    """

    memory: int = 10
    tolerance: float = 1e-3


INNER_SOLVERS: dict[str, Callable[[], InnerSolver | Lbfgs]] = {
    "gd": GradientDescent,
    "adam": Adam,
    "l-bfgs": Lbfgs,
}
"""Inner solvers by name."""
