"""One meta-training of the recipe linear_gaussian, and the optimal σ of its learner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from recipes.linear_gaussian.oracle import Solver, best_deviations
from recipes.linear_gaussian.tasks import LinearGaussian
from recipes.toy_benchmark import Plans, TrainingPlan, meta_train, pretrain, settings_of
from tts_meta.config import Section
from tts_meta.meta import GradientLearner
from tts_meta.meta.learners.gradient import ShrinkageSettings


class Experiment(Section):
    """`linear_gaussian.yaml`."""

    family: LinearGaussian
    learners: Plans
    """By name in `tts_meta.meta.LEARNERS`; each must learn σ."""
    seeds: int = Field(default=5, gt=1)
    """Runs of each learner, with different tasks and initial values; the first is repeated without pretraining."""


@dataclass(frozen=True)
class Job:
    """One meta-training."""

    family: LinearGaussian
    name: str
    plan: TrainingPlan
    seed: int


@dataclass(frozen=True)
class RunResult:
    """deviations: σ before meta-training and after each meta-step, `(steps + 1, M)`. errors: ‖φ̂ - φ‖ / ‖φ‖ of the
    untrained model, after pretraining, and after meta-training, `(3,)`."""

    deviations: Tensor
    errors: Tensor


def run(job: Job) -> RunResult:
    """Meta-train and record σ after each meta-step."""
    settings = settings_of(job.name, job.plan)
    assert isinstance(settings, ShrinkageSettings)
    path = [torch.full((len(job.family.deviations),), settings.variance**0.5)]

    def observe(learner: GradientLearner) -> None:
        path.append((0.5 * learner.log_variances.detach()).exp())

    learner = meta_train(job.family, job.name, job.plan, job.seed, observe)
    models = job.family.model(job.seed), pretrain(job.family, job.plan, job.seed)
    estimates = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models]
    centre = job.family.centre
    errors = [(estimate - centre).norm() / centre.norm() for estimate in (*estimates, learner.adapted.detach())]
    return RunResult(torch.stack(path), torch.stack(errors))


def best_deviations_of(job: Job) -> dict[str, float]:
    """The optimal σ for a learner's inner loop."""
    settings = settings_of(job.name, job.plan)
    return best_deviations(job.family, Solver(settings.inner_steps, settings.inner_lr), tasks=100)
