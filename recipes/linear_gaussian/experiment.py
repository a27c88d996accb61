"""One meta-training of the recipe, and the best that its learner could find."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from recipes.bench import Plan, meta_train, pretrain
from recipes.linear_gaussian.oracle import Solver, best_deviations
from recipes.linear_gaussian.tasks import LinearGaussian
from tts_meta.config import Section
from tts_meta.meta import MetaLearner


class Experiment(Section):
    """What runs."""

    family: LinearGaussian
    learners: dict[str, Plan]
    """By name in `tts_meta.meta.LEARNERS`; each must learn σ."""
    seeds: int = Field(default=5, gt=1)
    """Runs of each learner, of other tasks and another start; the first is repeated without pretraining."""


@dataclass(frozen=True)
class Job:
    """One meta-training."""

    family: LinearGaussian
    name: str
    plan: Plan
    seed: int


@dataclass(frozen=True)
class Found:
    """deviations: σ before meta-training and after each meta-step, `(steps + 1, M)`. errors: ‖φ̂ - φ‖ / ‖φ‖ of the
    untrained model, after pretraining, after meta-training, `(3,)`."""

    deviations: Tensor
    errors: Tensor


def run(job: Job) -> Found:
    """Meta-train and note σ all the way."""
    start = torch.full((len(job.family.deviations),), job.plan.settings.variance**0.5)
    path = [start]

    def observe(learner: MetaLearner) -> None:
        path.append((0.5 * learner.log_variances.detach()).exp())

    learner = meta_train(job.family, job.name, job.plan, job.seed, observe)
    untrained, pretrained = job.family.model(job.seed), pretrain(job.family, job.plan, job.seed)
    centres = [*(torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (untrained, pretrained))]
    centre = job.family.centre
    errors = [(found - centre).norm() / centre.norm() for found in (*centres, learner.adapted.detach())]
    return Found(torch.stack(path), torch.stack(errors))


def best_of(job: Job) -> dict[str, float]:
    """The best σ for a learner's own inner loop."""
    return best_deviations(job.family, Solver(job.plan.settings.inner_steps, job.plan.settings.inner_lr), tasks=100)
