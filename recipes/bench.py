"""Learners on tasks without speech: meta-train each, adapt it to many unseen tasks, tabulate and draw what came out.

A recipe is a folder with a YAML file (a `Bench`), a family of tasks (a `Family`) and a `__main__.py` that says what to
show. Learners run side by side in processes, one thread each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.config import AnySection, Section, load_config
from tts_meta.meta import Diverged, LearnerSettings, MetaLearner, Task
from tts_meta.meta.domain import LossFunction
from tts_meta.models.partition import Partition

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Job = TypeVar("Job")
Result = TypeVar("Result")

TEST_SEED = 10_000_000
"""Tasks of the test are drawn from this seed on, those of training from zero on."""


class Family(Protocol):
    """Tasks that are alike, and a model for them; picklable."""

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
        """Tasks drawn at random; the same for the same seed."""
        ...


class Plan(Section):
    """How one learner is meta-trained."""

    settings: LearnerSettings = LearnerSettings()
    """Its numbers."""
    meta_steps: int = Field(gt=0)
    """Meta-steps in all."""
    tasks: int = Field(default=25, gt=0)
    """Tasks in a meta-step."""
    pretrain_steps: int = Field(default=0, ge=0)
    """Steps that fit one model to all tasks at once before, so that variances need not explain a centre far off."""
    pretrain_lr: float = Field(default=0.01, gt=0)
    """Their first step size, of Adam; cosine to zero."""


class Bench(Section):
    """Which learners, and what they are tested on."""

    learners: dict[str, Plan]
    """By name in `tts_meta.meta.LEARNERS`."""
    test_tasks: int = Field(default=1000, gt=0)
    """Unseen tasks."""
    test_steps: tuple[int, ...] = (0, 1, 3, 10, 30, 100, 300, 1000)
    """Inner steps after which they are scored."""
    seed: int = 0
    """Seeds models and tasks."""


def pretrain(family: Family, plan: Plan, seed: int) -> nn.Module:
    """A model fitted to all tasks at once, untrained where the plan has no steps for it."""
    model = family.model(seed)
    settings = LearnerSettings(outer_lr=plan.pretrain_lr, outer_lr_final_fraction=0.0)
    modules, steps = Partition.by_layer(model).modules, plan.pretrain_steps
    side_by_side = {"vectorised": True, "tasks_at_once": plan.tasks}
    joint = MetaLearner("finetune-all", model, family.loss, modules, settings, meta_steps=steps, **side_by_side)
    for step in range(steps):
        joint.meta_step(family.tasks(plan.tasks, seed * steps + step))
    model.load_state_dict(joint.meta_params(), strict=False)  # buffers stay
    return model


def build_learner(family: Family, name: str, plan: Plan, seed: int) -> MetaLearner:
    """The learner before meta-training, every layer a module."""
    model = pretrain(family, plan, seed)
    return MetaLearner(
        name,
        model,
        family.loss,
        Partition.by_layer(model).modules,
        plan.settings,
        roles=family.roles,
        meta_steps=plan.meta_steps,
        vectorised=True,
        tasks_at_once=plan.tasks,
    )


def meta_train(
    family: Family, name: str, plan: Plan, seed: int = 0, observe: Callable[[MetaLearner], None] = lambda learner: None
) -> MetaLearner:
    """The learner after all its meta-steps; `observe` sees it after each."""
    torch.manual_seed(seed)
    learner = build_learner(family, name, plan, seed)
    for step in range(plan.meta_steps):
        learner.meta_step(family.tasks(plan.tasks, seed * plan.meta_steps + step))
        observe(learner)
    return learner


def adaptation_curve(learner: MetaLearner, tasks: Sequence[Task], at: Sequence[int]) -> Tensor:
    """Query losses after each number of inner steps in `at`, `(len(at), T)` nats; not finite where a task diverged."""
    # As many at once as stay in a core's cache.
    return torch.cat([_curve(learner, tasks[i : i + 250], at) for i in range(0, len(tasks), 250)], 1)


def _curve(learner: MetaLearner, tasks: Sequence[Task], at: Sequence[int]) -> Tensor:
    """The same, all tasks side by side."""
    query, found = [task.query for task in tasks], {}

    def look(step: int, params: Tensor) -> None:
        if step in at:
            found[step] = learner.score(params, query)

    with suppress(Diverged):  # every task did: the steps that are left stay NaN
        learner.adapt_many(tasks, max(at), look)
    return torch.stack([found[step] if step in found else torch.full((len(tasks),), torch.nan) for step in at])


def in_processes(work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[Job, Result]]:
    """Each job with its result as it comes, as many at a time as there are cores; one thread each.

    `work` lies outside a recipe's `__main__.py`, which spawned processes do not import.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


def spread(values: Tensor, level: float = 0.68) -> tuple[float, float, float]:
    """Mean and the interval of the mean at `level`, by the normal approximation, of one value a task `(T,)`."""
    mean, error = values.mean().item(), (values.std() / len(values) ** 0.5).item()
    width = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(0.5 + level / 2)).item() * error
    return mean, mean - width, mean + width


def gaussian_loss(noise: float) -> LossFunction:
    """-log p(y | x, θ) but for its constant, summed over points and outputs: normal, of deviation `noise`."""

    def nll(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        return 0.5 * ((call(data[0]) - data[1]) / noise).square().sum()

    return nll


def split_tasks(x: Tensor, y: Tensor, support: int) -> list[Task]:
    """Tasks of x and y `(T, N, ...)`: the first `support` points of each to adapt on, the others to score."""
    return [Task((a[:support], b[:support]), (a[support:], b[support:])) for a, b in zip(x, y, strict=True)]


def recipe_parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """What every `python -m recipes.NAME` takes: `changes` of its YAML file, and `output`, the picture's folder."""
    parser = argparse.ArgumentParser(prog=f"python -m recipes.{name}", description=about)
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help=f"replaces a value of {name}.yaml")
    parser.add_argument("--output", type=Path, default=Path("runs") / name, help="folder of the picture")
    return parser


def load_recipe(name: str, kind: type[AnySection], changes: Sequence[str]) -> AnySection:
    """`recipes/NAME/NAME.yaml`, changed as `load_config` says."""
    return load_config(Path(__file__).parent / name / f"{name}.yaml", kind, changes)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first stand to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a small PNG, in a folder that is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
