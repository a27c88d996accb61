"""`run_inner_loop`: adapts the parameters of tasks by inner steps, from the meta-parameters φ to θ = φ + δ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, SupportsIndex

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta.compatibility import check_twice_differentiable
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.solvers.inner_lr import StepSizeSchedule
from tts_meta.meta.solvers.inner_solvers import InnerSolver, Lbfgs, SolverState, StepSize
from tts_meta.meta.solvers.warm_starts import WarmStarts

Observer = Callable[[int, Tensor], None]
"""`observe(steps done, θ (T, P))` is called before the first step and after each step."""

BLOCK = 1 << 18
"""Number of parameters that a step updates at once if nothing is differentiated. A block fits into the CPU's cache."""


class Diverged(TtsMetaError):
    """The loss or its gradient is no longer finite."""


@dataclass(frozen=True)
class Trace:
    """Losses before each step, `(steps, T)` nats."""

    losses: Tensor


@dataclass(frozen=True)
class InnerLoop:
    """Settings of the inner steps during meta-training.

    scale_lr_by_sigma: multiply the step sizes by each module's σ. seed: the draws of inner step k are a function of
    `seed` and k. warm_starts: where L-BFGS starts, and where its solutions are kept; None starts from φ.
    """

    solver: InnerSolver | Lbfgs
    steps: int
    step_size_schedule: StepSizeSchedule
    scale_lr_by_sigma: bool = False
    seed: int = 0
    warm_starts: WarmStarts | None = None

    def schedule(self, step_sizes: Tensor, prior: ShrinkagePrior, steps: int) -> Callable[[int], StepSize]:
        """Return a function from inner step to step size, for a loop of `steps` steps that is not differentiated."""
        schedule = self.step_size_schedule.schedule(step_sizes.detach(), steps)
        if not self.scale_lr_by_sigma:
            return schedule
        sigma = prior.standard_deviation().detach().to(step_sizes)
        return lambda step: schedule(step) * sigma


def run_inner_loop(
    nll: Callable[[Tensor, int], Tensor],
    meta_params: Tensor,
    prior: ShrinkagePrior,
    solver: InnerSolver,
    step_sizes: Callable[[int], StepSize],
    steps: int,
    tasks: int = 1,
    order: Literal[0, 1, 2] = 0,
    observe: Observer | None = None,
    should_stop: Callable[[int], bool] = lambda done: False,
) -> tuple[list[Tensor], Trace]:
    """Run `steps` steps from φ `(P,)` for T tasks at once, or fewer if `should_stop(steps done)`.

    Returns a list of parameters, which depends on `order`, and the losses before each step.

    nll: `nll(θ (T, P), step)` returns `(T,)` nats.
    order: with 0, the list contains only the last displacement δ `(T, P)`, detached, and memory does not grow with the
    steps. With 1 or 2, the list contains θ `(T, P)` before the first step and after each step. These tensors are on the
    graph of φ, of the prior and of the step sizes; with 2 also on the graph of the likelihood's gradients.

    A task whose loss is no longer finite has NaN in its row. Raises Diverged with the number of steps done if no row is
    finite. Raises UsageError for a negative number of steps. Gradients are enabled inside, also under `torch.no_grad`
    and `torch.inference_mode`.
    """
    check_steps(steps)
    with torch.inference_mode(False), torch.enable_grad():
        meta_params = meta_params.clone() if meta_params.is_inference() else meta_params
        return _run_steps(nll, meta_params, prior, solver, step_sizes, steps, tasks, order, observe, should_stop)


def check_steps(steps: int) -> None:
    """Raise UsageError unless `steps` is an integer of 0 or more."""
    if isinstance(steps, bool) or not isinstance(steps, SupportsIndex) or int(steps) < 0:
        raise UsageError(f"the number of inner steps must be an integer of 0 or more, not {steps!r}")


def _run_steps(
    nll: Callable[[Tensor, int], Tensor],
    meta_params: Tensor,
    prior: ShrinkagePrior,
    solver: InnerSolver,
    step_sizes: Callable[[int], StepSize],
    steps: int,
    tasks: int,
    order: Literal[0, 1, 2],
    observe: Observer | None,
    should_stop: Callable[[int], bool],
) -> tuple[list[Tensor], Trace]:
    start = meta_params.unsqueeze(0).expand(tasks, -1)
    state, losses_before, path = solver.init(start.detach()), start.new_zeros(steps, tasks), []
    precision = None if prior.is_absent else prior.precision().to(meta_params)
    if order == 0 and precision is not None:
        precision = precision.detach()
    # Without a prior, no step uses δ. Carrying θ in its place saves one addition per step in the graph.
    carries_params = order == 2 and precision is None
    carried = start if carries_params else torch.zeros_like(start, memory_format=torch.contiguous_format)
    params = start
    done = 0
    for step in range(steps):
        if should_stop(step):
            break
        done = step + 1
        path.append(params)
        point = params if order == 2 and params.requires_grad else params.detach().requires_grad_()
        if observe is not None:
            observe(step, params.detach())
        losses = nll(point, step)
        losses_before[step] = losses.detach()
        total = losses.sum()
        if not math.isfinite(total.detach()) and not losses_before[step].isfinite().any():
            raise Diverged(not_finite(step))
        gradient = torch.autograd.grad(total, point, create_graph=order == 2, materialize_grads=True)[0]
        if order == 2 and step == 0:
            check_twice_differentiable(gradient)
        step_size = step_sizes(step)
        if order == 0:
            path.clear()
            step_size = step_size.detach() if isinstance(step_size, Tensor) else step_size
        with torch.set_grad_enabled(order > 0):
            if order == 0:
                _step_in_blocks(solver, carried, gradient, state, done, step_size, precision)
            else:
                carried, state = solver.step(carried, gradient, state, done, step_size, precision)
            params = carried if carries_params else start + carried
    # `aminmax` of a row with NaN is NaN, and allocates nothing of the row's size.
    if not torch.stack(params.detach().aminmax(dim=-1)).isfinite().all(0).any():
        raise Diverged(not_finite(done))
    if observe is not None:
        observe(done, params.detach())
    return [carried] if order == 0 else [*path, params], Trace(losses_before[:done])


def _step_in_blocks(
    solver: InnerSolver,
    displacement: Tensor,
    gradient: Tensor,
    state: SolverState,
    count: int,
    step_size: StepSize,
    precision: Tensor | None,
) -> None:
    """Apply the solver's step in place and in blocks.

    For ten million parameters at once, a dozen intermediate tensors would take more time than the gradient.
    """
    for low in range(0, displacement.shape[-1], BLOCK):
        block = slice(low, low + BLOCK)
        old = displacement[:, block], *(memory[:, block] for memory in state)
        block_step_size = step_size[block] if isinstance(step_size, Tensor) and step_size.ndim else step_size
        block_precision = None if precision is None else precision[block]
        moved, new_state = solver.step(old[0], gradient[:, block], old[1:], count, block_step_size, block_precision)
        for memory, new in zip(old, (moved, *new_state), strict=True):
            memory.copy_(new)


def not_finite(steps: int) -> str:
    """Return the message of `Diverged` after this number of steps."""
    if not steps:
        return "the loss is not finite before the first step; check the data and the model"
    return f"the loss is not finite after {steps} steps; lower the inner learning rate"
