"""`adapt_by_lbfgs`: adaptation by limited-memory BFGS, the same for `clone`, benchmarks and recipes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from tts_meta.meta.budget import Budget
from tts_meta.meta.learner import Adapted, AdaptProgress, Observer
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.seeding import combine_seeds
from tts_meta.meta.solvers.inner_solvers import Lbfgs
from tts_meta.meta.solvers.lbfgs import run_lbfgs
from tts_meta.meta.solvers.stopping import ReductionStop
from tts_meta.meta.task import Task

if TYPE_CHECKING:
    from tts_meta.meta.learners.gradient import GradientLearner


def adapt_by_lbfgs(
    learner: GradientLearner, solver: Lbfgs, tasks: Sequence[Task], budget: Budget, observe: Observer | None
) -> Adapted:
    """Adapt to T tasks at once; with `budget.stop_on_plateau` to one task.

    The loop ends earlier than the budget if all tasks have converged. Raises Diverged if no task is finite.
    """
    if not tasks:
        return Adapted.without_steps({}, 0)
    layout, likelihood = learner.layout, learner.likelihood
    phi, shared = learner.adapted.detach(), learner.shared.detach()
    support, seed = [task.support for task in tasks], combine_seeds(learner.seed)
    stop = ReductionStop() if budget.stop_on_plateau else None
    losses: list[Tensor] = []

    def nll(params: Tensor) -> Tensor:
        value = likelihood.nll(params, shared, support, seed)
        losses.append(value.detach())
        return value

    def should_stop(step: int, objectives: Tensor) -> bool:
        return stop is not None and stop.finished(step, float(objectives[0]))

    def watch(step: int, params: Tensor) -> None:
        if observe is not None:
            observe(AdaptProgress(step, layout.unflatten(params), losses[-1] if step else None, budget.steps))

    prior = ShrinkagePrior(layout, learner.log_variances.detach() + math.log(learner.prior_scale))
    result = run_lbfgs(nll, phi, prior, solver, budget.steps, len(tasks), observe=watch, should_stop=should_stop)
    reasons = [_reason(steps, budget.steps) for steps in result.steps]
    if stop is not None and stop.reason:
        reasons = [stop.reason]
    return Adapted(
        layout.unflatten(phi + result.displacement),
        result.losses,
        result.steps,
        tuple(reasons),
        displacements=layout.unflatten(result.displacement),
    )


def _reason(steps: int, most: int) -> str:
    return "" if steps == most else f"the objective has reached its minimum after {steps} steps"
