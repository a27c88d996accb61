"""`ConjugateGradient` and `Neumann`: linear solvers of symmetric systems A x = b for implicit meta-gradients.

A solver is `(matvec, b) -> Solution`. Each row of b `(T, P)` is a separate system. All rows are solved in parallel:
`matvec` maps `(T, P)` to `(T, P)` row by row.
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
    """How a solve ended; the value is the message for the user."""

    CONVERGED = "the residual is below the tolerance"
    TRUNCATED = "the residual is above the tolerance after all steps; allow more steps or a larger tolerance"
    NEGATIVE_CURVATURE = (
        "the system is not positive definite; the solution so far is used; "
        "run more inner steps, or lower the largest variance"
    )
    DIVERGED = "the series diverges; the solution with the smallest residual is used; lower its step size"
    NOT_FINITE = "the system is not finite"


@dataclass(frozen=True)
class Solution:
    """A solution of A x = b for T rows.

    value: x `(T, P)`. residual: ‖b - A x‖ / ‖b‖ `(T,)`. steps: number of products with A. outcomes: one per row.
    """

    value: Tensor
    residual: Tensor
    steps: int
    outcomes: tuple[Outcome, ...]


class LinearSolver(Protocol):
    """The interface that implicit meta-gradients call."""

    def __call__(self, matvec: Matvec, b: Tensor, preconditioner: Tensor | None = None) -> Solution: ...


def dot_rows(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each row, `(T, P)` and `(T, P)` to `(T, 1)`."""
    return (a * b).sum(-1, keepdim=True)


def _add(total: Tensor, step: Tensor, vector: Tensor, active: Tensor) -> None:
    """Add `step * vector` in place, only to active rows; the others do not change, even if the vector is not finite."""
    if bool(active.all()):
        total.addcmul_(step, vector)
    else:
        total.copy_(torch.where(active, total + step * vector, total))


@dataclass(frozen=True)
class ConjugateGradient:
    """Preconditioned conjugate gradient (Hestenes and Stiefel 1952), stopped on the residual.

    At a direction of negative curvature a row keeps its current solution (Steihaug 1983). At the first step, the
    current solution is the preconditioned b, which is the solution with the prior alone.
    """

    steps: int = 50
    tolerance: float = 1e-4
    """Largest ‖b - A x‖ / ‖b‖."""

    def __call__(self, matvec: Matvec, b: Tensor, preconditioner: Tensor | None = None) -> Solution:
        """Solve A x = b; `preconditioner (P,)` is the diagonal of an approximate inverse of A."""
        value, residual = torch.zeros_like(b), b.clone()
        z = residual if preconditioner is None else residual * preconditioner
        direction, rz = z.clone(), dot_rows(residual, z)
        norm = b.norm(dim=-1, keepdim=True)
        goal = self.tolerance * norm
        negative = broken = torch.zeros_like(norm, dtype=torch.bool)
        active = norm > goal
        done = 0
        while done < self.steps and bool(active.any()):
            product = matvec(direction)
            done += 1
            curvature = dot_rows(direction, product)
            newly_negative = active & (curvature <= 0)
            broken = broken | (active & ~curvature.isfinite())
            if done == 1 and bool(newly_negative.any()):
                value = torch.where(newly_negative, z, value)
                residual = torch.where(newly_negative, b - product, residual)
            negative, active = negative | newly_negative, active & (curvature > 0)
            # Rows that have converged or failed do not change.
            step = torch.where(active, rz / torch.where(active, curvature, 1.0), 0.0)
            _add(value, step, direction, active)
            _add(residual, -step, product, active)
            z = residual if preconditioner is None else residual * preconditioner
            new_rz = dot_rows(residual, z)
            active = active & (residual.norm(dim=-1, keepdim=True) > goal)
            ratio = new_rz / torch.where(active, rz, 1.0)
            if bool(active.all()):
                direction.mul_(ratio).add_(z)
            else:
                direction = torch.where(active, z + ratio * direction, 0.0)
            rz = new_rz
        return _solution(value, residual.masked_fill_(broken, torch.nan), b, done, self.tolerance, negative)


@dataclass(frozen=True)
class Neumann:
    """Neumann series x = η Σ_k (I - η A)^k b (Lorraine, Vicol, Duvenaud 2020). The series converges if η < 2/λ_max.

    A row whose residual grows keeps the solution with the smallest residual.
    """

    steps: int = 50
    tolerance: float = 1e-4
    step_size: float | None = None
    """η of the preconditioned system. None estimates it by power iterations, which count as products."""

    def __call__(self, matvec: Matvec, b: Tensor, preconditioner: Tensor | None = None) -> Solution:
        """Solve A x = b; `preconditioner (P,)` is the diagonal of an approximate inverse of A."""
        scale, done = torch.ones_like(b) if preconditioner is None else preconditioner.expand_as(b), 0
        if self.step_size is None:
            scale, done = scale / self._largest(matvec, b, scale), _POWER_STEPS
        else:
            scale = self.step_size * scale
        value, residual = torch.zeros_like(b), b
        best, smallest = value, b.norm(dim=-1, keepdim=True)
        goal = self.tolerance * smallest
        broken = torch.zeros_like(goal, dtype=torch.bool)
        while done < self.steps and bool(((residual.norm(dim=-1, keepdim=True) > goal) & ~broken).any()):
            value = value + scale * residual
            residual = b - matvec(value)
            done += 1
            norm = residual.norm(dim=-1, keepdim=True)
            best = torch.where(norm <= smallest, value, best)
            smallest = torch.minimum(smallest, norm)
            broken = broken | (norm > 10 * smallest)
        norm = b.norm(dim=-1)
        relative = torch.where(norm == 0, 0.0, smallest[:, 0] / norm)
        return Solution(best, relative, done, _outcomes(best, relative, self.tolerance, broken, Outcome.DIVERGED))

    @staticmethod
    def _largest(matvec: Matvec, b: Tensor, scale: Tensor) -> Tensor:
        """Return 1.2 times an estimate of the largest eigenvalue of the preconditioned A, `(T, 1)`."""
        vector = b
        for _ in range(_POWER_STEPS):
            vector = vector / vector.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(b.dtype).tiny)
            vector = scale * matvec(vector)
        return (1.2 * vector.norm(dim=-1, keepdim=True)).clamp(min=torch.finfo(b.dtype).tiny)


_POWER_STEPS = 8


LINEAR_SOLVERS: dict[str, Callable[[int, float], LinearSolver]] = {
    "cg": lambda steps, tolerance: ConjugateGradient(steps, tolerance),
    "neumann": lambda steps, tolerance: Neumann(steps, tolerance),
}
"""Linear solvers by name; each entry takes the maximum number of steps and the tolerance."""


def _solution(value: Tensor, residual: Tensor, b: Tensor, steps: int, tolerance: float, negative: Tensor) -> Solution:
    norm = b.norm(dim=-1)
    relative = torch.where(norm == 0, 0.0, residual.norm(dim=-1) / norm)
    return Solution(value, relative, steps, _outcomes(value, relative, tolerance, negative, Outcome.NEGATIVE_CURVATURE))


def _outcomes(
    value: Tensor, relative: Tensor, tolerance: float, failed: Tensor, failure: Outcome
) -> tuple[Outcome, ...]:
    """Return the outcome of each row; `failure` for the rows marked in `failed (T, 1)`."""
    outcomes = []
    finite = (value.isfinite().all(-1) & relative.isfinite()).tolist()
    for residual, row_failed, row_finite in zip(relative.tolist(), failed[:, 0].tolist(), finite, strict=True):
        if not row_finite:
            outcomes.append(Outcome.NOT_FINITE)
        elif row_failed:
            outcomes.append(failure)
        else:
            outcomes.append(Outcome.CONVERGED if residual <= tolerance else Outcome.TRUNCATED)
    return tuple(outcomes)
