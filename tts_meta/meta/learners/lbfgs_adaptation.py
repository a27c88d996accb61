"""`adapt_by_lbfgs`: adaptation by limited-memory BFGS, the same for `clone`, benchmarks and recipes."""

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
from tts_meta.meta.solvers.inner_solvers import Lbfgs
from tts_meta.meta.solvers.lbfgs import run_lbfgs
from tts_meta.meta.solvers.stopping import ReductionStop
from tts_meta.meta.task import Task

if TYPE_CHECKING:
    from tts_meta.meta.learners.gradient import GradientLearner


ROUND = 15
"""Steps between two computations of the inputs that the model predicts itself (`Domain.fix_inputs`)."""
_LEAST_REDUCTION = 0.05
"""Rounds end on a plateau if the last one gave less than this fraction of the reduction of all rounds."""


def adapt_by_lbfgs(
    learner: GradientLearner, solver: Lbfgs, tasks: Sequence[Task], budget: Budget, observe: Observer | None
) -> Adapted:
    """Adapt to T tasks at once; with `budget.stop_on_plateau` to one task.

    The loop ends earlier than the budget if all tasks have converged. If the support has inputs that the model predicts
    itself, the loop has rounds of `ROUND` steps, and the inputs are computed at the start of each round. Raises
    Diverged if no task is finite.
    """
    if not tasks:
        return Adapted.without_steps({}, 0)
    loop = _Loop(learner, solver, tasks, budget, observe)
    delta = torch.zeros_like(loop.phi).expand(len(tasks), -1)
    while loop.left:
        delta = loop.round(delta)
    return loop.result(delta)


class _Loop:
    """The rounds of one adaptation, and what they have done so far."""

    def __init__(
        self,
        learner: GradientLearner,
        solver: Lbfgs,
        tasks: Sequence[Task],
        budget: Budget,
        observe: Observer | None,
    ) -> None:
        self.learner, self.solver, self.tasks, self.budget, self.observe = learner, solver, tasks, budget, observe
        self.phi, self.shared = learner.adapted.detach(), learner.shared.detach()
        self.prior = ShrinkagePrior(learner.layout, learner.log_variances.detach() + math.log(learner.prior_scale))
        self.seed, self.done, self.left = combine_seeds(learner.seed), 0, max(1, budget.steps)
        self.losses, self.reductions = list[Tensor](), list[float]()
        self.counts, self.reason = [0] * len(tasks), ""

    def round(self, delta: Tensor) -> Tensor:
        """Take the steps of a round from δ `(T, P)`, and return the new δ."""
        likelihood, plateau = self.learner.likelihood, self.budget.stop_on_plateau
        data = likelihood.with_fixed_inputs(self.phi + delta, self.shared, self.tasks, self.seed)
        support = [task.support for task in data]
        is_last = all(new is task.support for new, task in zip(support, self.tasks, strict=True))
        steps = self.budget.steps - self.done if is_last else min(ROUND, self.budget.steps - self.done)
        stop, objectives, seen = ReductionStop() if plateau and is_last else None, list[float](), list[Tensor]()

        def nll(params: Tensor) -> Tensor:
            value = likelihood.nll(params, self.shared, support, self.seed)
            seen.append(value.detach())
            return value

        def should_stop(step: int, values: Tensor) -> bool:
            objectives.append(float(values[0]))
            return stop is not None and stop.finished(step, objectives[-1])

        def watch(step: int, params: Tensor) -> None:
            if self.observe is not None and (step or not self.done):
                loss, total = seen[-1] if self.done + step else None, self.budget.steps
                self.observe(AdaptProgress(self.done + step, self.learner.layout.unflatten(params), loss, total))

        result = run_lbfgs(
            nll,
            self.phi,
            self.prior,
            self.solver,
            steps,
            len(self.tasks),
            delta,
            observe=watch,
            should_stop=should_stop,
        )
        self.losses.append(result.losses)
        self.counts = [before + taken for before, taken in zip(self.counts, result.steps, strict=True)]
        self.done += max(result.steps, default=0)
        ended = is_last or not any(result.steps)
        self.left = 0 if ended else self.budget.steps - self.done
        if stop is not None:
            self.reason = stop.reason
        elif plateau and not is_last:
            self._check_plateau(objectives)
        return result.displacement

    def _check_plateau(self, objectives: Sequence[float]) -> None:
        """End the loop if the round with these objectives in nats gave little of the reduction of all rounds."""
        self.reductions.append(objectives[0] - objectives[-1] if objectives else 0.0)
        total = sum(self.reductions)
        if len(self.reductions) > 1 and self.reductions[-1] < _LEAST_REDUCTION * total:
            self.left = 0
            part = self.reductions[-1] / total if total > 0 else 0.0
            self.reason = f"the last round gave {part:.1%} of the reduction of the objective, after {self.done} steps"

    def result(self, delta: Tensor) -> Adapted:
        """Return the adaptation with the displacements δ `(T, P)`."""
        layout = self.learner.layout
        reasons = [_reason(steps, self.budget.steps) for steps in self.counts]
        return Adapted(
            layout.unflatten(self.phi + delta),
            torch.cat(self.losses),
            tuple(self.counts),
            (self.reason,) if self.reason else tuple(reasons),
            displacements=layout.unflatten(delta),
        )


def _reason(steps: int, most: int) -> str:
    return "" if steps == most else f"the objective has reached its minimum after {steps} steps"
