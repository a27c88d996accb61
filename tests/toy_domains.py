"""Small problems with known answers for the tests of meta-learning, in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tts_meta.meta import Domain, LearnerSettings, MetaLearner, ParameterLayout, Task
from tts_meta.models.partition import Module


class Blocks(nn.Module):
    """Modules of plain vectors: parameters `a (2,)`, `b (3,)`, `c (2,)`."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.a, self.b, self.c = (
            nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64)) for size in (2, 3, 2)
        )

    def forward(self) -> Tensor:
        return torch.cat([self.a, self.b, self.c])


class Net(nn.Module):
    """1-6-5-1 with tanh and a context of 2 values beside the input: `context`, `first`, `second`, `head`."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.context = nn.Parameter(torch.zeros(2, dtype=dtype))
            self.first = nn.Linear(3, 6, dtype=dtype)
            self.second = nn.Linear(6, 5, dtype=dtype)
            self.head = nn.Linear(5, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.cat([x, self.context.expand(*x.shape[:-1], 2)], -1)
        return self.head(torch.tanh(self.second(torch.tanh(self.first(hidden)))))


def modules_of(model: nn.Module) -> tuple[Module, ...]:
    """One module for each direct child or parameter of a model."""
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
    off = call() - data.centre
    return 0.5 * off @ data.curvature @ off


def quadratic_task(seed: int, size: int = 7) -> Task:
    """Support and query of random positive definite curvature."""
    generator = torch.Generator().manual_seed(seed)

    def one() -> Quadratic:
        root = torch.randn(size, size, generator=generator, dtype=torch.float64)
        centre = torch.randn(size, generator=generator, dtype=torch.float64)
        return Quadratic(root @ root.T / size + 0.1 * torch.eye(size, dtype=torch.float64), centre)

    return Task(one(), one(), name=f"quadratic {seed}")


def regression_loss(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
    """Gaussian likelihood of standard deviation 0.3, a sum, but for its constant."""
    return 0.5 * ((call(data[0]) - data[1]) / 0.3).square().sum()


def regression_task(seed: int, dtype: torch.dtype = torch.float64) -> Task:
    """A sinusoid of random height and phase: 6 points to adapt on, 5 to score."""
    generator = torch.Generator().manual_seed(seed)
    height, phase = torch.rand(2, generator=generator, dtype=torch.float64).mul(2).add(0.2).tolist()
    x = torch.rand(11, 1, generator=generator, dtype=torch.float64) * 4 - 2
    x, y = x.to(dtype), (height * torch.sin(x - phase)).to(dtype)
    return Task((x[:6], y[:6]), (x[6:], y[6:]), name=f"sinusoid {seed}")


def spoiled(task: Task, part: Literal["support", "query"], value: float = math.nan) -> Task:
    """A task of `regression_task` whose support or query has targets that are not finite."""
    x, y = getattr(task, part)
    return replace(task, **{part: (x, torch.full_like(y, value))})


def domain_of(model: nn.Module, loss: Any, adapted: tuple[str, ...] | None = None, vectorised: bool = False) -> Domain:
    """The domain in which the modules named adapt, all by default, and the others are shared."""
    modules = modules_of(model)
    chosen = [m for m in modules if adapted is None or m.name in adapted]
    shared = [m for m in modules if m not in chosen]
    return Domain(
        model,
        loss,
        ParameterLayout.from_modules(model, chosen),
        ParameterLayout.from_modules(model, shared),
        vectorised,
    )


def net_of(dtype: torch.dtype = torch.float64) -> Net:
    """A context of its own initial value, so that no test rests on zeros."""
    net = Net(dtype)
    with torch.no_grad():
        net.context.add_(torch.tensor([0.3, -0.2]))
    return net


def make_learner(name: str, settings: LearnerSettings, model: nn.Module | None = None, **more: Any) -> MetaLearner:
    """A learner of sinusoids, of `net_of()` where no model is given; `more` goes to `MetaLearner`."""
    net = model or net_of()
    roles = {"head": ["head"], "context": ["context"]}
    return MetaLearner(name, net, regression_loss, modules_of(net), settings, roles=roles, **more)


class _Held:
    """A tensor saved for a backward pass, counted while it lives."""

    def __init__(self, tensor: Tensor, alive: dict[str, int]) -> None:
        # Detached: a function that saves its own result would keep itself alive through it.
        self.tensor, self.alive = tensor.detach(), alive
        alive["now"] += tensor.numel()
        alive["most"] = max(alive["most"], alive["now"])

    def __del__(self) -> None:
        self.alive["now"] -= self.tensor.numel()


def most_saved(run: Callable[[], object]) -> int:
    """The most values that ever lay saved for backward passes at once, which is what memory grows with."""
    alive = {"now": 0, "most": 0}
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Held(tensor, alive), lambda held: held.tensor):
        run()
    return alive["most"]
