"""One run of the recipe one_module: meta-train a learner on one family, then adapt it to unseen tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.one_module.tasks import OneModule
from recipes.toy_benchmark import TEST_SEED, ToyBenchmark, TrainingPlan, adaptation_curve, domain_of, meta_train
from tts_meta.meta import AdaptProgress, Budget, GradientLearner, Task, create_learner
from tts_meta.models.partition import Partition

TRUTH = "(truth)"
"""Row of the true network, which needs no meta-training."""


class Experiment(ToyBenchmark):
    """`one_module.yaml`."""

    families: dict[str, OneModule]
    """By their names in the tables."""


@dataclass(frozen=True)
class Job:
    """One run. A plan of None is the true network."""

    family_name: str
    family: OneModule
    name: str
    plan: TrainingPlan | None
    seed: int
    test_tasks: int
    test_steps: tuple[int, ...]


@dataclass(frozen=True)
class RunResult:
    """Result of one run.

    deviations: σ by module; empty for a learner that does not learn σ. moved: mean square displacement of a parameter,
    by module, after the learner's own number of steps, `(T, M)`. losses: query nats after each of `steps`, `(len, T)`.
    """

    modules: tuple[str, ...]
    deviations: dict[str, float]
    moved: Tensor
    steps: tuple[int, ...]
    losses: Tensor

    def shares(self) -> Tensor:
        """Each module's share of the movement, `(T, M)`, independent of its size; zero if nothing moves."""
        total = self.moved.sum(-1, keepdim=True)
        return self.moved / torch.where(total > 0, total, 1.0)


def displacement(learner: GradientLearner, modules: Sequence[str], tasks: Sequence[Task], steps: int) -> Tensor:
    """‖θ_m - φ_m‖² / size of m after `steps` inner steps, `(T, M)`; zero for a module that does not adapt."""
    displacements: dict[int, Tensor] = {}

    def observe(progress: AdaptProgress) -> None:
        displacements[progress.step] = layout.flatten(progress.params) - learner.adapted.detach()

    layout = learner.layout
    learner.adapt(tasks, Budget(steps), observe)
    by_module = layout.sum_modules(displacements[steps].square()) / torch.tensor(layout.sizes)
    by_name = dict(zip(layout.modules, by_module.unbind(-1), strict=True))
    return torch.stack([by_name.get(name, torch.zeros(len(tasks))) for name in modules], -1)


def true_learner(family: OneModule) -> GradientLearner:
    """The best possible learner: the true network, of which only the varying module adapts, with its true variance."""
    settings = {"inner_solver": "adam", "inner_steps": 100, "inner_lr": 0.03, "variance": family.deviation**2}
    learner = create_learner("imaml", domain_of(family, family.true_model()), settings, modules=[family.varies])
    assert isinstance(learner, GradientLearner)
    return learner


def run(job: Job) -> RunResult:
    """Meta-train, then adapt to unseen tasks."""
    plan = job.plan
    learner = true_learner(job.family) if plan is None else meta_train(job.family, job.name, plan, job.seed)
    names = Partition.by_layer(job.family.model(0)).names
    own_steps = learner.settings.inner_steps
    steps = tuple(sorted({0, own_steps, *job.test_steps}))
    tasks = job.family.tasks(job.test_tasks, TEST_SEED)
    return RunResult(
        names,
        {name: value**0.5 for name, value in learner.module_variances().items()},
        displacement(learner, names, tasks, own_steps),
        steps,
        adaptation_curve(learner, tasks, steps),
    )
