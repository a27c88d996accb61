"""`run_lbfgs`: minimises the objective of adaptation by limited-memory BFGS, without random draws.

The variable is ε = δ/σ, the displacement in units of the prior (δ = θ - φ). In ε, the curvature of the prior is 1 for
every parameter, so modules of very different σ are solved together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.solvers.inner_loop import Diverged, Observer, check_steps, not_finite
from tts_meta.meta.solvers.inner_solvers import Lbfgs
from tts_meta.meta.solvers.linear_solvers import dot_rows

_SUFFICIENT = 1e-4
"""A step is accepted if it gives this fraction of the decrease that the slope predicts (Armijo 1966)."""
_MAX_HALVINGS = 20
_FIRST_LENGTH = 0.01
"""Root mean square of the first step, in units of σ."""


@dataclass(frozen=True)
class LbfgsResult:
    """The result for T tasks.

    displacement: δ `(T, P)`. losses: of the likelihood before each step, `(steps, T)` nats; NaN after the last step of
    a task. steps: number of steps of each task.
    """

    displacement: Tensor
    losses: Tensor
    steps: tuple[int, ...]


def run_lbfgs(
    nll: Callable[[Tensor], Tensor],
    meta_params: Tensor,
    prior: ShrinkagePrior,
    solver: Lbfgs,
    steps: int,
    tasks: int = 1,
    start: Tensor | None = None,
    observe: Observer | None = None,
    should_stop: Callable[[int, Tensor], bool] = lambda done, objectives: False,
) -> LbfgsResult:
    """Minimise nll(θ) + ‖(θ - φ)/σ‖²/2 from φ `(P,)` for T tasks at once by at most `steps` steps.

    The loop ends when all tasks have converged, or if `should_stop(steps done, objectives (T,))`. A task that has
    converged, or that no step improves, does not change.

    nll: `nll(θ (T, P))` returns `(T,)` nats, the same for the same θ. start: δ `(T, P)` of the first step; None is 0. A
    module without a prior is solved in its own units.

    A task whose loss is not finite at the start has NaN in its row. Raises Diverged if no row is finite. Raises
    UsageError for a negative number of steps. Gradients are enabled inside, as in `run_inner_loop`.
    """
    check_steps(steps)
    with torch.inference_mode(False), torch.enable_grad():
        problem = _Problem(nll, meta_params.detach().clone(), prior, tasks)
        epsilon = problem.zeros() if start is None else start.detach() / problem.scale
        point = problem.at(epsilon)
        finite = point.objective.isfinite()
        if not finite.any():
            raise Diverged(not_finite(0))
        history, active = _History(solver.memory), finite & ~_converged(point, solver)
        losses, counts = list[Tensor](), torch.zeros(tasks, dtype=torch.int64)
        for step in range(steps):
            if observe is not None:
                observe(step, problem.params(point.epsilon))
            if not active.any() or should_stop(step, point.objective[:, 0]):
                break
            losses.append(torch.where(active[:, 0], point.nll, torch.nan))
            counts += active[:, 0].cpu()
            new, improved = _line_search(problem, point, history.direction(point.gradient), active)
            history.add(new.epsilon - point.epsilon, new.gradient - point.gradient)
            point, active = new, active & improved
            active = active & ~_converged(point, solver)
        if observe is not None and len(losses) == steps:
            observe(steps, problem.params(point.epsilon))
        trace = torch.stack(losses) if losses else point.nll.new_zeros(0, tasks)
        delta = torch.where(finite, point.epsilon * problem.scale, torch.nan)
        return LbfgsResult(delta, trace, tuple(counts.tolist()))


@dataclass(frozen=True)
class _Point:
    """ε `(T, P)`, the likelihood's loss `(T,)`, the objective `(T, 1)` and its gradient in ε `(T, P)`."""

    epsilon: Tensor
    nll: Tensor
    objective: Tensor
    gradient: Tensor


class _Problem:
    """The objective of T tasks as a function of ε."""

    def __init__(self, nll: Callable[[Tensor], Tensor], meta_params: Tensor, prior: ShrinkagePrior, tasks: int) -> None:
        self.nll, self.meta_params, self.tasks = nll, meta_params, tasks
        sigma = prior.standard_deviation().detach().to(meta_params)
        self.has_prior = sigma.isfinite()
        self.scale = torch.where(self.has_prior, sigma, 1.0)

    def zeros(self) -> Tensor:
        return self.meta_params.new_zeros(self.tasks, len(self.meta_params))

    def params(self, epsilon: Tensor) -> Tensor:
        """Return θ `(T, P)`."""
        return torch.addcmul(self.meta_params, self.scale, epsilon)

    def at(self, epsilon: Tensor) -> _Point:
        params = self.params(epsilon).requires_grad_()
        losses = self.nll(params)
        gradient = torch.autograd.grad(losses.sum(), params, materialize_grads=True)[0]
        pulled = torch.where(self.has_prior, epsilon, 0.0)
        losses, objective_gradient = losses.detach(), torch.addcmul(pulled, self.scale, gradient)
        objective = losses[:, None] + 0.5 * pulled.square().sum(-1, keepdim=True)
        return _Point(epsilon, losses, objective, objective_gradient)


class _History:
    """The last pairs of steps and gradient changes, and the product of the approximate inverse curvature with them."""

    def __init__(self, memory: int) -> None:
        self.pairs = deque[tuple[Tensor, Tensor, Tensor]](maxlen=memory)
        self.inverse_curvature: Tensor | None = None

    def add(self, step: Tensor, change: Tensor) -> None:
        """Add a pair. Rows whose curvature along the step is not positive are left out."""
        curvature, size = dot_rows(step, change), dot_rows(change, change)
        useful = curvature > torch.finfo(step.dtype).eps * size
        weight = torch.where(useful, 1 / torch.where(useful, curvature, 1.0), 0.0)
        self.pairs.append((step, change, weight))
        new = torch.where(useful, curvature / torch.where(useful, size, 1.0), 0.0)
        old = self.inverse_curvature
        self.inverse_curvature = new if old is None else torch.where(useful, new, old)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the direction of the next step, by the two-loop recursion."""
        direction, factors = -gradient, list[Tensor]()
        for step, change, weight in reversed(self.pairs):
            factors.append(weight * dot_rows(step, direction))
            direction.addcmul_(change, -factors[-1])
        norm = gradient.norm(dim=-1, keepdim=True)
        first = _FIRST_LENGTH * gradient.shape[-1] ** 0.5 / torch.where(norm > 0, norm, 1.0)
        if self.inverse_curvature is not None:
            first = torch.where(self.inverse_curvature > 0, self.inverse_curvature, first)
        direction.mul_(first)
        for (step, change, weight), factor in zip(self.pairs, reversed(factors), strict=True):
            direction.addcmul_(step, factor - weight * dot_rows(change, direction))
        return torch.where(dot_rows(gradient, direction) < 0, direction, -gradient * first)


def _line_search(problem: _Problem, point: _Point, direction: Tensor, active: Tensor) -> tuple[_Point, Tensor]:
    """Return the point after a step along the direction, and the rows `(T, 1)` whose objective decreases.

    The step is halved until the objective decreases sufficiently. Other rows, and rows that are not active, keep their
    point.
    """
    slope = dot_rows(point.gradient, direction)
    rounding = torch.finfo(point.objective.dtype).eps * point.objective.abs()
    length = torch.where(active, 1.0, 0.0).to(direction)
    pending, new = active, point
    for _ in range(_MAX_HALVINGS):
        new = problem.at(point.epsilon + length * direction)
        pending = active & ~(new.objective <= point.objective + _SUFFICIENT * length * slope + rounding)
        if not pending.any():
            break
        length = torch.where(pending, 0.5 * length, length)
    moved = active & ~pending
    return _Point(
        torch.where(moved, new.epsilon, point.epsilon),
        torch.where(moved[:, 0], new.nll, point.nll),
        torch.where(moved, new.objective, point.objective),
        torch.where(moved, new.gradient, point.gradient),
    ), moved


def _converged(point: _Point, solver: Lbfgs) -> Tensor:
    """Return the rows `(T, 1)` whose gradient is small."""
    norm = point.gradient.norm(dim=-1, keepdim=True)
    return norm <= solver.tolerance * point.epsilon.norm(dim=-1, keepdim=True)
