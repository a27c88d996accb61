"""`adapt_by_gradient_steps`: the inner loop of adaptation, the same for `clone`, benchmarks and recipes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tts_meta.meta.budget import Budget
from tts_meta.meta.learner import Adapted, AdaptProgress, Observer
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.seeding import combine_seeds
from tts_meta.meta.solvers.inner_loop import run_inner_loop
from tts_meta.meta.solvers.inner_solvers import InnerSolver, StepSize
from tts_meta.meta.solvers.stopping import PlateauStop
from tts_meta.meta.task import Task

if TYPE_CHECKING:
    from tts_meta.meta.learners.gradient import GradientLearner


def adapt_by_gradient_steps(
    learner: GradientLearner, solver: InnerSolver, tasks: Sequence[Task], budget: Budget, observe: Observer | None
) -> Adapted:
    """Adapt to T tasks at once; with `budget.stop_on_plateau` to one task.

    Step sizes decay over the steps of the budget, or after the plateau. Raises Diverged if no task is finite.
    """
    if not tasks:
        return Adapted.without_steps({}, 0)
    layout, likelihood = learner.layout, learner.likelihood
    phi, shared = learner.adapted.detach(), learner.shared.detach()
    prior = ShrinkagePrior(layout, learner.log_variances.detach() + math.log(learner.prior_scale))
    stop = PlateauStop(1.0, budget.steps) if budget.stop_on_plateau else None
    losses: list[Tensor] = []

    def nll(params: Tensor, step: int) -> Tensor:
        value = likelihood.step_nll(params, shared, tasks, step, learner.seed)
        losses.append(value.detach())
        return value

    def watch(step: int, params: Tensor) -> None:
        if stop is not None and stop.should_check(step):
            stop.update(step, _objective(learner, params, prior, tasks))
        if observe is not None:
            end = budget.steps if stop is None else stop.end
            observe(AdaptProgress(step, layout.unflatten(params), losses[-1] if step else None, end))

    displacements, trace = run_inner_loop(
        nll,
        phi,
        prior,
        solver,
        _StepSizes(learner, budget.steps, stop),
        budget.steps,
        len(tasks),
        observe=watch,
        should_stop=lambda done: stop is not None and stop.finished(done),
    )
    reason = "" if stop is None else stop.reason
    count = len(trace.losses)
    return Adapted(
        layout.unflatten(phi + displacements[-1]),
        trace.losses,
        (count,) * len(tasks),
        (reason,) * len(tasks),
        displacements=layout.unflatten(displacements[-1]),
    )


class _StepSizes:
    """The step size of each inner step of adaptation: learned or fixed, scaled by σ, decaying."""

    def __init__(self, learner: GradientLearner, steps: int, stop: PlateauStop | None) -> None:
        schedule = learner.step_size_schedule
        self.stop, self.final = stop, schedule.final
        self.sigma = None
        if learner.scales_lr_by_sigma:
            self.sigma = learner.prior.standard_deviation().to(learner.adapted.detach())
        values = learner.step_sizes.detach()
        if stop is None:
            self.schedule = schedule.schedule(values, steps)
        else:
            self.schedule = schedule.without_decay().schedule(values, steps)

    def __call__(self, step: int) -> StepSize:
        step_size = self.schedule(step)
        if self.stop is not None:
            decay = self.stop.learning_rate(step)
            step_size = step_size * (self.final + (1 - self.final) * decay)
        return step_size if self.sigma is None else step_size * self.sigma


@torch.no_grad()
def _objective(learner: GradientLearner, params: Tensor, prior: ShrinkagePrior, tasks: Sequence[Task]) -> float:
    """Return the objective of all support data of one task, in nats, for parameters `(1, P)`."""
    data = [task.support for task in tasks]
    nll = learner.likelihood.nll(params, learner.shared.detach(), data, combine_seeds(learner.seed))
    return float(nll.sum() + prior.penalty(params - learner.adapted.detach()).sum())
