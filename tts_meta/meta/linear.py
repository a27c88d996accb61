"""Linear solvers: `(matvec, b) -> Solution(value, residual, steps, outcome)` for symmetric systems A x = b.

Each row of b `(T, P)` is a system of its own, solved side by side: `matvec` maps `(T, P)` to `(T, P)` row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor

Matvec = Callable[[Tensor], Tensor]


class Outcome(Enum):
    """How a solve ended; the value is the sentence the user reads."""

    CONVERGED = "the residual is below the tolerance"
    TRUNCATED = "the residual is above the tolerance after all steps; allow more steps or a larger tolerance"
    NEGATIVE_CURVATURE = (
        "the system is not positive definite, so the solution so far is kept; "
        "run more inner steps, or lower the largest variance"
    )
    NOT_FINITE = "the system is not finite"


@dataclass(frozen=True)
class Solution:
    """value: x `(T, P)`. residual: ‖b - A x‖ / ‖b‖ `(T,)`. steps: products with A. outcomes: one a row."""

    value: Tensor
    residual: Tensor
    steps: int
    outcomes: tuple[Outcome, ...]


class LinearSolver(Protocol):
    """What implicit meta-gradients call."""

    def __call__(self, matvec: Matvec, b: Tensor, preconditioner: Tensor | None = None) -> Solution: ...


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


@dataclass(frozen=True)
class ConjugateGradient:
    """Preconditioned conjugate gradient (Hestenes and Stiefel 1952), stopped on the residual.

    At a direction of negative curvature a row keeps what it has (Steihaug 1983); at the very first step that is the
    preconditioned b, the answer of the prior alone.
    """

    steps: int = 50
    tolerance: float = 1e-4
    """Largest ‖b - A x‖ / ‖b‖."""

    def __call__(self, matvec: Matvec, b: Tensor, preconditioner: Tensor | None = None) -> Solution:
        """Solve A x = b; `preconditioner (P,)` is the diagonal of an approximate inverse of A."""
        scale = 1.0 if preconditioner is None else preconditioner
        value, residual = torch.zeros_like(b), b
        z = residual * scale
        direction, rz = z, _dot(residual, z)
        norm = b.norm(dim=-1, keepdim=True)
        goal = self.tolerance * norm
        negative = torch.zeros_like(norm, dtype=torch.bool)
        active = norm > goal
        done = 0
        while done < self.steps and bool(active.any()):
            product = matvec(direction)
            done += 1
            curvature = _dot(direction, product)
            bent = active & (curvature <= 0)
            if done == 1:
                value = torch.where(bent, z, value)
                residual = torch.where(bent, b - product, residual)
            negative, active = negative | bent, active & (curvature > 0)
            # A row that is done, or broken, stays where it is.
            step = torch.where(active, rz / torch.where(active, curvature, 1.0), 0.0)
            value = torch.where(active, value + step * direction, value)
            residual = torch.where(active, residual - step * product, residual)
            z = residual * scale
            new_rz = _dot(residual, z)
            active = active & (residual.norm(dim=-1, keepdim=True) > goal)
            direction = torch.where(active, z + new_rz / torch.where(active, rz, 1.0) * direction, 0.0)
            rz = new_rz
        return _solution(value, residual, b, done, self.tolerance, negative)


@dataclass(frozen=True)
class Neumann:
    """Neumann series x = η Σ_k (I - η A)^k b (Lorraine, Vicol, Duvenaud 2020): converges where η is below 2/λ_max."""

    steps: int = 50
    tolerance: float = 1e-4
    step_size: float = 1.0
    """η, on the preconditioned system."""

    def __call__(self, matvec: Matvec, b: Tensor, preconditioner: Tensor | None = None) -> Solution:
        """Solve A x = b; `preconditioner (P,)` is the diagonal of an approximate inverse of A."""
        scale = self.step_size if preconditioner is None else self.step_size * preconditioner
        value, residual, done = torch.zeros_like(b), b, 0
        norm = b.norm(dim=-1)
        while done < self.steps and bool((residual.norm(dim=-1) > self.tolerance * norm).any()):
            value = value + scale * residual
            residual = b - matvec(value)
            done += 1
        return _solution(value, residual, b, done, self.tolerance, torch.zeros_like(norm, dtype=torch.bool)[:, None])


SOLVERS: dict[str, Callable[[int, float], LinearSolver]] = {
    "cg": lambda steps, tolerance: ConjugateGradient(steps, tolerance),
    "neumann": lambda steps, tolerance: Neumann(steps, tolerance),
}
"""Linear solvers by name, from the most steps and the tolerance."""


def _solution(value: Tensor, residual: Tensor, b: Tensor, steps: int, tolerance: float, negative: Tensor) -> Solution:
    norm = b.norm(dim=-1)
    relative = torch.where(norm > 0, residual.norm(dim=-1) / torch.where(norm > 0, norm, 1.0), 0.0)
    outcomes = []
    for size, bent, finite in zip(relative.tolist(), negative[:, 0].tolist(), value.isfinite().all(-1), strict=True):
        if not finite or size != size:
            outcomes.append(Outcome.NOT_FINITE)
        elif bent:
            outcomes.append(Outcome.NEGATIVE_CURVATURE)
        else:
            outcomes.append(Outcome.CONVERGED if size <= tolerance else Outcome.TRUNCATED)
    return Solution(value, relative, steps, tuple(outcomes))
