"""One run of the recipe sinusoid: meta-train a learner, test it, and judge the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from recipes.sinusoid.family import Sinusoids
from recipes.toy_benchmark import (
    TEST_SEED,
    ToyBenchmark,
    TrainingPlan,
    adaptation_curve,
    mean_interval,
    meta_train,
    settings_of,
)

BASELINE = "finetune-all"
"""The baseline of all other learners."""
LONG = 100
"""Number of steps. A learner holds if its error does not grow from this number to the largest number of steps."""


class Experiment(ToyBenchmark):
    """`sinusoid.yaml`."""

    family: Sinusoids = Sinusoids()

    def steps(self) -> tuple[int, ...]:
        """Inner steps of the test: those of the recipe, and those that the verdicts need."""
        return tuple(sorted({0, LONG, *self.test_steps, *map(self.budget, self.learners)}))

    def budget(self, name: str) -> int:
        """The learner's own number of inner steps, that of its meta-training."""
        return settings_of(name, self.learners[name]).inner_steps


@dataclass(frozen=True)
class Job:
    """One learner to train and to test; picklable. steps: inner steps of the test, ascending."""

    family: Sinusoids
    name: str
    plan: TrainingPlan
    seed: int
    test_tasks: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """errors: mean squared error on the query by number of steps, each `(T,)`; not finite for a task that diverged.

    deviations: σ by module; empty for a learner without a prior. seconds: CPU time of meta-training and of the test.
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
    """Paired difference of errors, after minus before, over the tasks that are finite in both: mean and 68 % interval.

    diverged: number of tasks that are finite before and not after.
    """

    mean: float
    low: float
    high: float
    diverged: int

    @classmethod
    def between(cls, before: Tensor, after: Tensor) -> Change:
        """The change from errors `before` `(T,)` to errors `after` `(T,)`."""
        both = before.isfinite() & after.isfinite()
        # In double precision: the squared error of a task that nearly diverges overflows single precision.
        return cls(*mean_interval((after - before)[both].double()), int((before.isfinite() & ~both).sum()))

    @property
    def verdict(self) -> Literal["better", "same", "worse"]:
        """`same` if zero is inside the interval; `worse` if a task diverged, for any mean."""
        if self.diverged or self.low > 0:
            return "worse"
        return "better" if self.high < 0 else "same"


@dataclass(frozen=True)
class Verdict:
    """Changes of a learner: from no step to its own budget, from the baseline, and from `LONG` to the most steps."""

    adapts: Change
    against_baseline: Change | None
    lasts: Change

    @property
    def beats(self) -> bool:
        """Whether the learner is better than its initialisation and than fine-tuning."""
        return all(change is None or change.verdict == "better" for change in (self.adapts, self.against_baseline))

    @property
    def holds(self) -> bool:
        """Whether more steps do not increase the error."""
        return self.lasts.verdict != "worse"


def judge(name: str, budget: int, errors: Mapping[int, Tensor], baseline: Mapping[int, Tensor] | None) -> Verdict:
    """Compare a learner, task by task, with itself and with the baseline. budget: its own number of inner steps."""
    against = None
    if baseline is not None and name != BASELINE:
        against = Change.between(baseline[budget], errors[budget])
    return Verdict(
        Change.between(errors[0], errors[budget]), against, Change.between(errors[LONG], errors[max(errors)])
    )


def best_step(errors: Mapping[int, Tensor]) -> int:
    """The number of steps with the lowest mean error, among those at which no task has diverged."""
    means = {step: row.mean().item() for step, row in errors.items() if row.isfinite().all()}
    return min(means, key=means.__getitem__)
