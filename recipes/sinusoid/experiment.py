"""One learner from meta-training to its test, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from recipes.bench import TEST_SEED, Bench, Plan, adaptation_curve, meta_train, spread
from recipes.sinusoid.family import Sinusoids

BASELINE = "finetune-all"
"""What every other learner has to beat."""
LONG = 100
"""A learner holds if it does not get worse from so many steps to the most."""


class Experiment(Bench):
    """`sinusoid.yaml`."""

    family: Sinusoids = Sinusoids()

    def steps(self) -> tuple[int, ...]:
        """Inner steps of the test: those of the recipe, and those that its verdicts need."""
        budgets = (plan.settings.inner_steps for plan in self.learners.values())
        return tuple(sorted({0, LONG, *self.test_steps, *budgets}))


@dataclass(frozen=True)
class Job:
    """One learner to train and to test; picklable. steps: of the test, ascending."""

    family: Sinusoids
    name: str
    plan: Plan
    seed: int
    test_tasks: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """errors: mean squared error on the query by steps, each `(T,)`; a task that diverged is not finite.

    deviations: σ by module, of a learner with a prior. seconds: of CPU, to meta-train and to test.
    """

    errors: Mapping[int, Tensor]
    deviations: Mapping[str, float] = field(default_factory=dict)
    seconds: tuple[float, float] = (0.0, 0.0)


def run(job: Job) -> Result:
    """Meta-train, then adapt to unseen tasks."""
    started = time.process_time()
    learner = meta_train(job.family, job.name, job.plan, job.seed)
    trained = time.process_time()
    nats = adaptation_curve(learner, job.family.tasks(job.test_tasks, TEST_SEED), job.steps)
    errors = dict(zip(job.steps, job.family.squared_error(nats), strict=True))
    ended = time.process_time()
    deviations = {name: v**0.5 for name, v in learner.variances().items()} if learner.prior.is_proper else {}
    return Result(errors, deviations, (trained - started, ended - trained))


@dataclass(frozen=True)
class Change:
    """Errors after less errors before, task by task, over the tasks finite in both: mean and 68 % interval.

    lost: tasks that are finite before and not after.
    """

    mean: float
    low: float
    high: float
    lost: int

    @classmethod
    def between(cls, before: Tensor, after: Tensor) -> Change:
        """Of errors `(T,)`."""
        both = before.isfinite() & after.isfinite()
        # In double precision: a task about to diverge has an error whose square is out of single's range.
        return cls(*spread((after - before)[both].double()), int((before.isfinite() & ~both).sum()))

    @property
    def verdict(self) -> Literal["better", "same", "worse"]:
        """`same` where zero lies inside the interval; a task that diverged makes it worse whatever the mean."""
        if self.lost or self.low > 0:
            return "worse"
        return "better" if self.high < 0 else "same"


@dataclass(frozen=True)
class Verdict:
    """What became of one learner: at its own budget against no step, against the baseline; from `LONG` to the most."""

    adapts: Change
    against_baseline: Change | None
    lasts: Change

    @property
    def beats(self) -> bool:
        """Whether it beats its own initialisation, and fine-tuning."""
        return all(change is None or change.verdict == "better" for change in (self.adapts, self.against_baseline))

    @property
    def holds(self) -> bool:
        """Whether more steps do not make it worse."""
        return self.lasts.verdict != "worse"


def judge(name: str, budget: int, errors: Mapping[int, Tensor], baseline: Mapping[int, Tensor] | None) -> Verdict:
    """Compare a learner with itself and, task by task, with the baseline."""
    against = None
    if baseline is not None and name != BASELINE:
        against = Change.between(baseline[budget], errors[budget])
    return Verdict(
        Change.between(errors[0], errors[budget]), against, Change.between(errors[LONG], errors[max(errors)])
    )


def best_step(errors: Mapping[int, Tensor]) -> int:
    """The number of steps of the lowest mean error, among those that no task diverged in."""
    means = {step: row.mean().item() for step, row in errors.items() if row.isfinite().all()}
    return min(means, key=means.__getitem__)
