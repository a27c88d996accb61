"""One learner on one family: meta-train it, then see what moves, and how well it does on unseen tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.bench import TEST_SEED, Bench, Plan, adaptation_curve, meta_train
from recipes.one_module.tasks import OneModule
from tts_meta.meta import LearnerSettings, MetaLearner, Task
from tts_meta.models.partition import Partition


class Experiment(Bench):
    """What runs."""

    families: dict[str, OneModule]
    """By the name that tables give them."""


@dataclass(frozen=True)
class Job:
    """One meta-training; no learner: the truth, which needs none."""

    where: str
    """Name of the family."""
    family: OneModule
    name: str
    plan: Plan | None
    seed: int
    test_tasks: int
    test_steps: tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """deviations: σ by module, none of a learner without a prior of its own. moved: mean square displacement of a
    parameter by module after the learner's own steps, `(T, M)`. losses: query nats after each of `steps`, `(len, T)`.
    """

    modules: tuple[str, ...]
    deviations: dict[str, float]
    moved: Tensor
    steps: tuple[int, ...]
    losses: Tensor

    def shares(self) -> Tensor:
        """Each module's part of what moved, `(T, M)`, whatever its size; zero where nothing moves."""
        total = self.moved.sum(-1, keepdim=True)
        return self.moved / torch.where(total > 0, total, 1.0)


def displacement(learner: MetaLearner, modules: Sequence[str], tasks: Sequence[Task], steps: int) -> Tensor:
    """‖θ_m - φ_m‖² / size of m after `steps` inner steps, `(T, M)`; zero for a module that does not adapt."""
    kept: dict[int, Tensor] = {}
    learner.adapt_many(tasks, steps, lambda step, params: kept.update({step: params - learner.adapted.detach()}))
    layout = learner.domain.adapted
    by_module = layout.sum_modules(kept[steps].square()) / torch.tensor(layout.sizes)
    found = dict(zip(layout.modules, by_module.unbind(-1), strict=True))
    return torch.stack([found.get(name, torch.zeros(len(tasks))) for name in modules], -1)


def true_learner(family: OneModule) -> MetaLearner:
    """What a learner could at best find: the true network, its module alone adapting, with its true variance."""
    model = family.true_model()
    settings = LearnerSettings(inner_solver="adam", inner_steps=100, inner_lr=0.03, variance=family.deviation**2)
    modules = Partition.by_layer(model).modules
    return MetaLearner(
        "imaml", model, family.loss, modules, settings, modules=[family.varies], vectorised=True, tasks_at_once=1
    )


def run(job: Job) -> Found:
    """Meta-train, adapt to unseen tasks."""
    plan = job.plan
    learner = true_learner(job.family) if plan is None else meta_train(job.family, job.name, plan, job.seed)
    names = Partition.by_layer(job.family.model(0)).names
    own = learner.settings.inner_steps
    steps = tuple(sorted({0, own, *job.test_steps}))
    tasks = job.family.tasks(job.test_tasks, TEST_SEED)
    learned = {name: value**0.5 for name, value in learner.variances().items()}
    return Found(
        names,
        learned if learner.preset.prior == "shrinkage" else {},
        displacement(learner, names, tasks, own),
        steps,
        adaptation_curve(learner, tasks, steps),
    )
