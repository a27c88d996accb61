"""Small domains with known solutions for the tests of meta-learning, in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tts_meta.config import Section
from tts_meta.meta import (
    LEARNERS,
    Domain,
    GradientLearner,
    HeadData,
    Items,
    Likelihood,
    LinearHead,
    MetaLearner,
    MetaTrainer,
    Outputs,
    ParameterLayout,
    Task,
    TrainedTasks,
    TrainerSettings,
    create_learner,
)
from tts_meta.meta.domain import OutputFunction
from tts_meta.models.partition import Module

EVERY = tuple(name for name, learner in LEARNERS.items() if learner.__module__.startswith("tts_meta.meta."))
TRAINABLE = tuple(name for name in EVERY if LEARNERS[name].trainable)
GRADIENT = tuple(name for name in EVERY if issubclass(LEARNERS[name], GradientLearner))
"""Names of all learners without code about speech, of those that meta-train, and of those with gradient steps."""


class Blocks(nn.Module):
    """Modules that are vectors: parameters `a (2,)`, `b (3,)`, `c (2,)`."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.a, self.b, self.c = (
            nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64)) for size in (2, 3, 2)
        )

    def forward(self) -> Tensor:
        return torch.cat([self.a, self.b, self.c])


class Net(nn.Module):
    """1-6-5-1 with tanh and a context of 2 values as further inputs: `context`, `first`, `second`, `head`."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.context = nn.Parameter(torch.zeros(2, dtype=dtype))
            self.first = nn.Linear(3, 6, dtype=dtype)
            self.second = nn.Linear(6, 5, dtype=dtype)
            self.head = nn.Linear(5, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        inputs = torch.cat([x, self.context.expand(*x.shape[:-1], 2)], -1)
        return self.head(torch.tanh(self.second(torch.tanh(self.first(inputs)))))


def modules_of(model: nn.Module) -> tuple[Module, ...]:
    """One module per direct child or parameter of a model."""
    grouped: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        grouped.setdefault(name.split(".")[0], []).append(name)
    return tuple(Module(name, "test", tuple(names), 0) for name, names in grouped.items())


@dataclass(frozen=True)
class Quadratic:
    """-log p(data | θ) = (θ - centre)ᵀ curvature (θ - centre) / 2."""

    curvature: Tensor
    centre: Tensor


def quadratic_loss(call: Callable[..., Any], data: Quadratic) -> Tensor:
    difference = call() - data.centre
    return 0.5 * difference @ data.curvature @ difference


def quadratic_task(seed: int, size: int = 7) -> Task:
    """A task with random positive definite curvature of support and query."""
    generator = torch.Generator().manual_seed(seed)

    def random_quadratic() -> Quadratic:
        root = torch.randn(size, size, generator=generator, dtype=torch.float64)
        centre = torch.randn(size, generator=generator, dtype=torch.float64)
        return Quadratic(root @ root.T / size + 0.1 * torch.eye(size, dtype=torch.float64), centre)

    return Task(random_quadratic(), random_quadratic(), name=f"quadratic {seed}")


def regression_loss(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
    """Gaussian likelihood with standard deviation 0.3, summed, without its constant."""
    return 0.5 * ((call(data[0]) - data[1]) / 0.3).square().sum()


def regression_outputs(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Outputs:
    """The outputs of a regression model, with the curvature of `regression_loss`."""
    values = call(data[0]).flatten()
    return Outputs(values, torch.full_like(values, 0.3**-2))


def regression_task(seed: int, dtype: torch.dtype = torch.float64) -> Task:
    """A sinusoid of random amplitude and phase: 6 support points, 5 query points."""
    generator = torch.Generator().manual_seed(seed)
    amplitude, phase = torch.rand(2, generator=generator, dtype=torch.float64).mul(2).add(0.2).tolist()
    x = torch.rand(11, 1, generator=generator, dtype=torch.float64) * 4 - 2
    x, y = x.to(dtype), (amplitude * torch.sin(x - phase)).to(dtype)
    return Task((x[:6], y[:6]), (x[6:], y[6:]), name=f"sinusoid {seed}")


def spoiled(task: Task, part: Literal["support", "query"], value: float = math.nan) -> Task:
    """A regression task whose support or query has targets that are not finite."""
    x, y = getattr(task, part)
    return replace(task, **{part: (x, torch.full_like(y, value))})


def likelihood_of(
    model: nn.Module,
    loss: Any,
    adapted: tuple[str, ...] | None = None,
    vectorised: bool = False,
    outputs: OutputFunction | None = None,
) -> Likelihood:
    """A likelihood in which the modules named in `adapted` adapt (None: all) and the others are shared."""
    modules = modules_of(model)
    chosen = [m for m in modules if adapted is None or m.name in adapted]
    shared = [m for m in modules if m not in chosen]
    return Likelihood(
        model,
        loss,
        ParameterLayout.from_modules(model, chosen),
        ParameterLayout.from_modules(model, shared),
        vectorised,
        output_function=outputs,
    )


def net_of(dtype: torch.dtype = torch.float64) -> Net:
    """A network whose context is not zero, so that no test depends on zeros."""
    net = Net(dtype)
    with torch.no_grad():
        net.context.add_(torch.tensor([0.3, -0.2]))
    return net


def head_data(net: Net, call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> HeadData:
    """Inputs and targets of the last layer of `Net`, with the precision of `regression_loss`."""
    inputs = list[Tensor]()
    handle = net.head.register_forward_pre_hook(lambda layer, arguments: inputs.append(arguments[0]))
    try:
        call(data[0])
    finally:
        handle.remove()
    return HeadData(inputs[0], data[1], torch.full((len(inputs[0]),), 0.3**-2, dtype=inputs[0].dtype))


def trained_tasks(context: Tensor) -> TrainedTasks:
    """Three pretrained tasks with random values of the context; the embedding of a task depends on its support."""
    generator = torch.Generator().manual_seed(5)
    offsets = 0.1 * torch.randn(3, *context.shape, generator=generator).to(context)
    embeddings = nn.functional.normalize(torch.randn(3, 4, generator=generator).to(context), dim=-1)

    def embed(task: Task) -> Tensor:
        x, y = task.support
        return nn.functional.normalize(torch.stack([x.mean(), y.mean(), (x * y).mean(), y.std()]), dim=-1)

    return TrainedTasks("context", ("ann", "ben", "cid"), offsets, embeddings, embed)


def regression_domain(model: nn.Module | None = None, loss: Any = None, **more: Any) -> Domain:
    """The domain of regression tasks, with `net_of()` if no model is given; `more` are fields of `Domain`."""
    net = model or net_of()
    context = dict(net.named_parameters()).get("context")
    defaults: dict[str, Any] = {
        "roles": {"head": ["head"], "context": ["context"]},
        "linear_head": LinearHead("head.weight", "head.bias", partial(head_data, net))
        if isinstance(net, Net)
        else None,
        "outputs": None if loss else regression_outputs,
        "items": lambda data: Items(torch.cat(data, -1)[:, None], torch.ones(len(data[0]), dtype=torch.int64)),
        "trained_tasks": None if context is None else trained_tasks(context.detach()),
    }
    return Domain(net, loss or regression_loss, modules_of(net), **{**defaults, **more})


def own_settings(section: type[Section], values: dict[str, Any]) -> dict[str, Any]:
    """The values whose keys are settings of this section."""
    return {key: value for key, value in values.items() if key in section.model_fields}


def make_trainer(
    name: str,
    values: dict[str, Any],
    domain: Domain | None = None,
    *,
    meta_steps: int = 1,
    tasks_at_once: int = 1,
    **more: Any,
) -> MetaTrainer:
    """A trainer of a new learner. `values` has settings of any learner and of the trainer; each takes its own."""
    learner = make_learner(name, values, domain, **more)
    outer = TrainerSettings(**own_settings(TrainerSettings, values))
    return MetaTrainer(learner, outer, meta_steps=meta_steps, tasks_at_once=tasks_at_once)


def make_learner(name: str, values: dict[str, Any], domain: Domain | None = None, **more: Any) -> MetaLearner:
    """A new learner. `values` has settings of any learner; the learner takes its own."""
    return create_learner(name, domain or regression_domain(), own_settings(LEARNERS[name].Settings, values), **more)


def gradient_learner(learner: MetaLearner | MetaTrainer) -> GradientLearner:
    """The learner, or that of a trainer, which must adapt by gradient steps."""
    learner = learner.learner if isinstance(learner, MetaTrainer) else learner
    assert isinstance(learner, GradientLearner)
    return learner


class _Saved:
    """A tensor saved for a backward pass, counted until it is freed."""

    def __init__(self, tensor: Tensor, alive: dict[str, int]) -> None:
        # Detached, because a function that saves its result would otherwise keep itself alive.
        self.tensor, self.alive = tensor.detach(), alive
        alive["now"] += tensor.numel()
        alive["most"] = max(alive["most"], alive["now"])

    def __del__(self) -> None:
        self.alive["now"] -= self.tensor.numel()


def most_saved(run: Callable[[], object]) -> int:
    """The largest number of values saved for backward passes at the same time; memory is proportional to it."""
    alive = {"now": 0, "most": 0}
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Saved(tensor, alive), lambda saved: saved.tensor):
        run()
    return alive["most"]
