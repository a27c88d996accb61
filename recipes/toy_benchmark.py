"""Benchmark of learners on tasks without speech: meta-train each learner, then adapt it to many unseen tasks.

A recipe is a folder with a YAML file (a `ToyBenchmark`), a family of tasks (a `Family`) and a `__main__.py` that prints
tables and draws a figure. Learners run in parallel processes with one thread each.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from typing import Annotated, Any, Protocol, TypeVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from tts_meta.config import Section, parse_settings
from tts_meta.errors import UsageError
from tts_meta.meta import (
    AdaptProgress,
    Budget,
    Diverged,
    Domain,
    GradientLearner,
    MetaTrainer,
    Task,
    TrainerSettings,
    create_learner,
    find_learner,
)
from tts_meta.meta.domain import LossFunction
from tts_meta.meta.learners.gradient import GradientSettings
from tts_meta.models.partition import Partition

Job = TypeVar("Job")
Result = TypeVar("Result")

TEST_SEED = 10_000_000
"""Seed of the test tasks. Training tasks have seeds from zero on."""

_TASKS_PER_BATCH = 250
"""Number of test tasks that run in parallel; they fit into the cache of a core."""


class Family(Protocol):
    """A distribution of tasks and a model for them; picklable."""

    @property
    def roles(self) -> Mapping[str, Sequence[str]]:
        """Names of the modules that learners call the head and the context."""
        ...

    @property
    def loss(self) -> LossFunction: ...

    def model(self, seed: int) -> nn.Module:
        """An untrained model."""
        ...

    def tasks(self, count: int, seed: int) -> list[Task]:
        """Tasks drawn at random; the same seed gives the same tasks."""
        ...


class TrainingPlan(Section):
    """How one learner is meta-trained."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the learner; a key that it does not use is an error."""
    trainer: TrainerSettings = TrainerSettings()
    """Settings of the outer loop."""
    meta_steps: int = Field(gt=0)
    """Number of meta-steps."""
    tasks: int = Field(default=25, gt=0)
    """Tasks per meta-step."""
    pretrain_steps: int = Field(default=0, ge=0)
    """Steps of joint training on all tasks before meta-training; the variances then need not explain a wrong φ."""
    pretrain_lr: float = Field(default=0.01, gt=0)
    """Initial learning rate of pretraining with Adam; cosine decay to zero."""


def settings_of(name: str, plan: TrainingPlan) -> GradientSettings:
    """The settings of a plan's learner. Raises UsageError that names a setting that it does not use."""
    learner = find_learner(name)
    if not issubclass(learner.Settings, GradientSettings):
        raise UsageError(f"learner '{name}' has no inner steps; the recipe compares learners by their inner steps")
    return parse_settings(plan.settings, learner.Settings, f"learner '{name}'")


def _check_settings(plans: dict[str, TrainingPlan]) -> dict[str, TrainingPlan]:
    for name, plan in plans.items():
        try:
            settings_of(name, plan)
        except UsageError as error:  # so that the message also names the file
            raise ValueError(str(error)) from error
    return plans


Plans = Annotated[dict[str, TrainingPlan], AfterValidator(_check_settings)]
"""Plans by the name of the learner in `tts_meta.meta.LEARNERS`."""


class ToyBenchmark(Section):
    """The learners and their test."""

    learners: Plans
    """By name in `tts_meta.meta.LEARNERS`."""
    test_tasks: int = Field(default=1000, gt=0)
    """Number of unseen tasks."""
    test_steps: tuple[int, ...] = (0, 1, 3, 10, 30, 100, 300, 1000)
    """Inner steps after which the tasks are scored."""
    seed: int = 0
    """Seed of models and tasks."""


def domain_of(family: Family, model: nn.Module) -> Domain:
    """The domain of a family; every layer of the model is a module."""
    return Domain(model, family.loss, Partition.by_layer(model).modules, roles=family.roles, vectorised=True)


def pretrain(family: Family, plan: TrainingPlan, seed: int) -> nn.Module:
    """A model fitted to all tasks at once; untrained if the plan has no pretraining steps."""
    model = family.model(seed)
    trainer = MetaTrainer(
        create_learner("finetune-all", domain_of(family, model)),
        TrainerSettings(outer_lr=plan.pretrain_lr, outer_lr_final_fraction=0.0),
        meta_steps=plan.pretrain_steps,
        tasks_at_once=plan.tasks,
    )
    for step in range(plan.pretrain_steps):
        trainer.step(family.tasks(plan.tasks, seed * plan.pretrain_steps + step))
    model.load_state_dict(trainer.learner.model_parameters(), strict=False)  # without buffers, which keep their values
    return model


def build_learner(family: Family, name: str, plan: TrainingPlan, seed: int) -> GradientLearner:
    """The learner before meta-training."""
    learner = create_learner(name, domain_of(family, pretrain(family, plan, seed)), settings_of(name, plan))
    assert isinstance(learner, GradientLearner)
    return learner


def meta_train(
    family: Family,
    name: str,
    plan: TrainingPlan,
    seed: int = 0,
    observe: Callable[[GradientLearner], None] = lambda learner: None,
) -> GradientLearner:
    """The learner after all meta-steps; `observe` is called after each meta-step."""
    torch.manual_seed(seed)
    learner = build_learner(family, name, plan, seed)
    trainer = MetaTrainer(learner, plan.trainer, meta_steps=plan.meta_steps, tasks_at_once=plan.tasks)
    for step in range(plan.meta_steps):
        trainer.step(family.tasks(plan.tasks, seed * plan.meta_steps + step))
        observe(learner)
    return learner


def adaptation_curve(learner: GradientLearner, tasks: Sequence[Task], at: Sequence[int]) -> Tensor:
    """Query losses after each number of inner steps in `at`, `(len(at), T)` nats; not finite if a task diverged."""
    batches = (tasks[start : start + _TASKS_PER_BATCH] for start in range(0, len(tasks), _TASKS_PER_BATCH))
    return torch.cat([_batch_curve(learner, batch, at) for batch in batches], 1)


def _batch_curve(learner: GradientLearner, tasks: Sequence[Task], at: Sequence[int]) -> Tensor:
    query = [task.query for task in tasks]
    losses: dict[int, Tensor] = {}

    def observe(progress: AdaptProgress) -> None:
        if progress.step in at:
            losses[progress.step] = learner.score(progress.params, query)

    with suppress(Diverged):  # all tasks diverged: the remaining steps are NaN
        learner.adapt(tasks, Budget(max(at)), observe)
    return torch.stack([losses[step] if step in losses else torch.full((len(tasks),), torch.nan) for step in at])


def run_in_processes(work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, in the order in which they end. One process per core, one thread per process.

    `work` must not be in a recipe's `__main__.py`, which spawned processes do not import.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


def mean_interval(values: Tensor, level: float = 0.68) -> tuple[float, float, float]:
    """The mean of `(T,)` values, and its confidence interval at `level` by the normal approximation."""
    mean, error = values.mean().item(), (values.std() / len(values) ** 0.5).item()
    width = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(0.5 + level / 2)).item() * error
    return mean, mean - width, mean + width


def gaussian_loss(noise: float) -> LossFunction:
    """-log p(y | x, θ) without its constant, summed over points and outputs: normal with standard deviation `noise`."""

    def nll(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        return 0.5 * ((call(data[0]) - data[1]) / noise).square().sum()

    return nll


def split_tasks(x: Tensor, y: Tensor, support: int) -> list[Task]:
    """Tasks from x and y `(T, N, ...)`: the first `support` points are the support, the others are the query."""
    return [Task((a[:support], b[:support]), (a[support:], b[support:])) for a, b in zip(x, y, strict=True)]
