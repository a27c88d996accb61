"""Inner solvers: from meta-parameters φ to tasks' parameters θ = φ + δ.

A solver is `init` and `step`; `solve` owns the loop. The likelihood's gradient moves δ, the prior follows as a proximal
step, which is stable however small σ² is, where plain descent on the penalty diverges. Tasks are rows: `(T, P)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, SupportsIndex

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta.prior import ShrinkagePrior, proximal
from tts_meta.meta.refusals import check_twice_differentiable

StepSize = Tensor | float
"""Step size η: one number, or one a parameter `(P,)`."""


class Diverged(TtsMetaError):
    """The loss or its gradient stopped being finite."""


class InnerSolver(Protocol):
    """One step of a solver; every operation is differentiable and elementwise."""

    def init(self, displacement: Tensor) -> tuple[Tensor, ...]:
        """What the solver remembers between steps, at the start: tensors of the shape of δ."""
        ...

    def step(
        self,
        displacement: Tensor,
        gradient: Tensor,
        state: tuple[Tensor, ...],
        count: int,
        rate: StepSize,
        prec: Tensor | None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Step `count` (from 1): δ `(T, P)`, likelihood gradient `(T, P)`, step size, 1/σ² `(P,)` to the next δ.

        A precision of None is no prior.
        """
        ...


@dataclass(frozen=True)
class GradientDescent:
    """Proximal gradient descent: δ ← prox(δ - η ∇)."""

    def init(self, displacement: Tensor) -> tuple[Tensor, ...]:
        return ()

    def step(
        self,
        displacement: Tensor,
        gradient: Tensor,
        state: tuple[Tensor, ...],
        count: int,
        rate: StepSize,
        prec: Tensor | None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if isinstance(rate, Tensor):
            return proximal(displacement - rate * gradient, rate, prec), state
        return proximal(torch.add(displacement, gradient, alpha=-rate), rate, prec), state


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015) on the likelihood, then the proximal step of the prior in Adam's own metric.

    Each parameter's proximal step has the step size that its gradient was multiplied by, η / (√v̂ + ε). With η itself
    the fixed point would be |θ - φ| = σ² whatever the gradient's size; so it is the MAP, ∇ + (θ - φ) / σ² = 0.
    """

    beta_first: float = 0.9
    beta_second: float = 0.98
    epsilon: float = 1e-8

    def init(self, displacement: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(displacement), torch.zeros_like(displacement)

    def step(
        self,
        displacement: Tensor,
        gradient: Tensor,
        state: tuple[Tensor, ...],
        count: int,
        rate: StepSize,
        prec: Tensor | None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        first = state[0].lerp(gradient, 1 - self.beta_first)
        second = torch.addcmul(state[1] * self.beta_second, gradient, gradient, value=1 - self.beta_second)
        # Shifted by what single precision can just hold: the root has no derivative at zero.
        root = (second + 1e-30).sqrt() * (1 - self.beta_second**count) ** -0.5 + self.epsilon
        metric = rate / root
        moved = displacement - metric * first / (1 - self.beta_first**count)
        return proximal(moved, metric, prec), (first, second)


SOLVERS: dict[str, Callable[[], InnerSolver]] = {"gd": GradientDescent, "adam": Adam}
"""Inner solvers by name."""


@dataclass(frozen=True)
class Trace:
    """Losses before each step, `(steps, T)` nats."""

    losses: Tensor


BLOCK = 1 << 18
"""Parameters that a step moves at once where nothing is differentiated, few enough for the cache."""

Observer = Callable[[int, Tensor], None]
"""`observe(steps done, θ (T, P))`, called before the first step and after each."""


def solve(
    nll: Callable[[Tensor, int], Tensor],
    meta: Tensor,
    prior: ShrinkagePrior,
    solver: InnerSolver,
    rates: Callable[[int], StepSize],
    steps: int,
    tasks: int = 1,
    order: Literal[0, 1, 2] = 0,
    observe: Observer | None = None,
    finished: Callable[[int], bool] = lambda done: False,
) -> tuple[list[Tensor], Trace]:
    """Run `steps` steps, or until `finished(steps done)`, from φ `(P,)` for T tasks at once; return what is kept and
    the losses.

    `nll(θ (T, P), step)` is `(T,)`. order 0: only the last displacement δ `(T, P)` is returned, detached, and memory
    does not grow with the steps. 1 or 2: θ `(T, P)` before the first step and after each, on the graph of φ, the prior
    and the rates, and for 2 through the likelihood's gradients. A task whose loss stops being finite leaves NaN in its
    row; where every row is, Diverged says after how many steps. Gradients are on inside, whatever the caller's mode.
    Raises UsageError for a number of steps below 0.
    """
    check_steps(steps)
    with torch.inference_mode(False), torch.enable_grad():
        meta = meta.clone() if meta.is_inference() else meta
        return _loop(nll, meta, prior, solver, rates, steps, tasks, order, observe, finished)


def check_steps(steps: int) -> None:
    """Raise UsageError where `steps` is not a whole number of 0 or more."""
    if isinstance(steps, bool) or not isinstance(steps, SupportsIndex) or int(steps) < 0:
        raise UsageError(f"the number of inner steps must be a whole number of 0 or more, not {steps!r}")


def _loop(
    nll: Callable[[Tensor, int], Tensor],
    meta: Tensor,
    prior: ShrinkagePrior,
    solver: InnerSolver,
    rates: Callable[[int], StepSize],
    steps: int,
    tasks: int,
    order: Literal[0, 1, 2],
    observe: Observer | None,
    finished: Callable[[int], bool],
) -> tuple[list[Tensor], Trace]:
    """`solve`, with gradients on."""
    start = meta.unsqueeze(0).expand(tasks, -1)
    state, losses_before, kept = solver.init(start.detach()), start.new_zeros(steps, tasks), []
    precision = None if prior.is_absent else prior.precision().to(meta)
    if order == 0 and precision is not None:
        precision = precision.detach()
    # Without a prior no step sees δ: θ itself is carried, a sum less to differentiate in each step.
    carries_params = order == 2 and precision is None
    carried = start if carries_params else torch.zeros_like(start, memory_format=torch.contiguous_format)
    params = start
    done = 0
    for step in range(steps):
        if finished(step):
            break
        done = step + 1
        kept.append(params)
        point = params if order == 2 and params.requires_grad else params.detach().requires_grad_()
        if observe is not None:
            observe(step, params.detach())
        losses = nll(point, step)
        losses_before[step] = losses.detach()
        total = losses.sum()
        if not math.isfinite(total.detach()) and not losses_before[step].isfinite().any():
            raise Diverged(_not_finite(step))
        gradient = torch.autograd.grad(total, point, create_graph=order == 2, materialize_grads=True)[0]
        if order == 2 and step == 0:
            check_twice_differentiable(gradient)
        rate = rates(step)
        if order == 0:
            kept.clear()
            rate = rate.detach() if isinstance(rate, Tensor) else rate
        with torch.set_grad_enabled(order > 0):
            if order == 0:
                _step_in_blocks(solver, carried, gradient, state, done, rate, precision)
            else:
                carried, state = solver.step(carried, gradient, state, done, rate, precision)
            params = carried if carries_params else start + carried
    # The extremes of a row with NaN are NaN; nothing of its size is written.
    if not torch.stack(params.detach().aminmax(dim=-1)).isfinite().all(0).any():
        raise Diverged(_not_finite(done))
    if observe is not None:
        observe(done, params.detach())
    return [carried] if order == 0 else [*kept, params], Trace(losses_before[:done])


def _step_in_blocks(
    solver: InnerSolver,
    displacement: Tensor,
    gradient: Tensor,
    state: tuple[Tensor, ...],
    count: int,
    rate: StepSize,
    prec: Tensor | None,
) -> None:
    """The solver's step, in place and block by block: at once, a dozen intermediate values of ten million parameters,
    each in memory of its own, cost more than the gradient.
    """
    for low in range(0, displacement.shape[-1], BLOCK):
        part = slice(low, low + BLOCK)
        old = displacement[:, part], *(memory[:, part] for memory in state)
        its_rate = rate[part] if isinstance(rate, Tensor) and rate.ndim else rate
        its_prec = None if prec is None else prec[part]
        moved, remembered = solver.step(old[0], gradient[:, part], old[1:], count, its_rate, its_prec)
        for memory, new in zip(old, (moved, *remembered), strict=True):
            memory.copy_(new)


def _not_finite(steps: int) -> str:
    if not steps:
        return "the loss is not finite before the first step; check the data and the model"
    return f"the loss is not finite after {steps} steps; lower the inner learning rate"
