"""The same meta-steps with this project and with its peers: one network, one set of tasks, one outer step.

A contestant is a function that takes tasks and moves its own copy of the meta-parameters by one step of gradient
descent on the mean query loss. `higher` and TorchOpt are not dependencies of the project; where they are not installed
their contestants are left out.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.meta import LearnerSettings, MetaLearner, Task
from tts_meta.models.partition import Partition

INSTALL = "pip install higher==0.2.1 torchopt==0.7.3"
RATE, OUTER_RATE, VARIANCE = 3e-5, 1e-5, 1e-3

MetaStepMetrics = Callable[[Sequence[Task]], Any]
Contestant = tuple[MetaStepMetrics, Callable[[], Tensor]]
"""One meta-step, and the gradient of φ that the last one used, a vector."""


def installed(*names: str) -> bool:
    """Whether all these packages are."""
    return all(importlib.util.find_spec(name) for name in names)


def network(width: int) -> nn.Module:
    """1-width-width-1 with tanh; the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )  # fmt: skip


def sinusoids(count: int, points: int, seed: int = 0) -> list[Task]:
    """Sinusoids of random height and phase, `points` to adapt on and as many to score."""
    generator = torch.Generator().manual_seed(seed)
    tasks = []
    for _ in range(count):
        height, phase = torch.rand(2, generator=generator).tolist()
        x = torch.rand(2 * points, 1, generator=generator) * 10 - 5
        y = (0.1 + 4.9 * height) * torch.sin(x - 3.14 * phase)
        tasks.append(Task((x[:points], y[:points]), (x[points:], y[points:])))
    return tasks


def loss(call: Callable[..., Any], data: Any) -> Tensor:
    """Gaussian likelihood of deviation 1, nats but for its constant."""
    x, y = data
    return 0.5 * (call(x) - y).square().sum()


def ours(name: str, width: int, steps: int, products: int = 10, side_by_side: int = 0) -> MetaLearner:
    """A learner of this project; `side_by_side` tasks at once, or 0 for one after another."""
    settings = LearnerSettings(
        inner_steps=steps,
        inner_lr=RATE,
        variance=VARIANCE,
        outer_solver="sgd",
        outer_lr=OUTER_RATE,
        variance_lr=OUTER_RATE,
        cg_max_iters=products,
        tolerance=1e-30,  # always all products, as the peers do
    )
    model = network(width)
    return MetaLearner(
        name,
        model,
        loss,
        Partition.by_layer(model).modules,
        settings,
        vectorised=side_by_side > 0,
        tasks_at_once=max(1, side_by_side),
    )


def our_contestant(name: str, width: int, steps: int, products: int = 10, side_by_side: int = 0) -> Contestant:
    learner = ours(name, width, steps, products, side_by_side)
    seen = gradients_of(learner)
    return learner.meta_step, lambda: seen[-1]


def gradients_of(learner: MetaLearner) -> list[Tensor]:
    """A list that holds the gradient of φ that the learner's optimiser was last given."""
    seen: list[Tensor] = []

    def look(*_: object) -> None:
        assert learner.adapted.grad is not None
        seen[:] = [learner.adapted.grad.clone()]

    learner.optimiser.register_step_pre_hook(look)
    return seen


def _gradient(model: nn.Module) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def higher_maml(width: int, steps: int) -> Contestant:
    """`higher.innerloop_ctx`, unrolled."""
    higher = importlib.import_module("higher")
    model = network(width)
    inner = torch.optim.SGD(model.parameters(), lr=RATE)
    outer = torch.optim.SGD(model.parameters(), lr=OUTER_RATE)

    def step(tasks: Sequence[Task]) -> None:
        outer.zero_grad()
        for task in tasks:
            with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (fast, differentiable):
                for _ in range(steps):
                    differentiable.step(loss(fast, task.support))
                (loss(fast, task.query) / len(tasks)).backward()
        outer.step()

    return step, lambda: _gradient(model)


def torchopt_maml(width: int, steps: int) -> Contestant:
    """`torchopt.MetaSGD`, unrolled."""
    torchopt = importlib.import_module("torchopt")
    model = network(width)
    inner = torchopt.MetaSGD(model, lr=RATE)
    outer = torch.optim.SGD(model.parameters(), lr=OUTER_RATE)

    def step(tasks: Sequence[Task]) -> None:
        outer.zero_grad()
        start, solver = torchopt.extract_state_dict(model, by="reference"), torchopt.extract_state_dict(inner)
        for task in tasks:
            for _ in range(steps):
                inner.step(loss(model, task.support))
            (loss(model, task.query) / len(tasks)).backward()
            torchopt.recover_state_dict(model, start)
            torchopt.recover_state_dict(inner, solver)
        outer.step()

    return step, lambda: _gradient(model)


def torchopt_functional_maml(width: int, steps: int) -> Contestant:
    """`torchopt.FuncOptimizer(torchopt.sgd)` on parameters by name, unrolled."""
    torchopt = importlib.import_module("torchopt")
    model = network(width)
    outer = torch.optim.SGD(model.parameters(), lr=OUTER_RATE)
    phi = dict(model.named_parameters())

    def step(tasks: Sequence[Task]) -> None:
        outer.zero_grad()
        for task in tasks:
            inner, params = torchopt.FuncOptimizer(torchopt.sgd(lr=RATE)), phi
            for _ in range(steps):
                params = inner.step(loss(_call(model, params), task.support), params)
            (loss(_call(model, params), task.query) / len(tasks)).backward()
        outer.step()

    return step, lambda: _gradient(model)


def torchopt_custom_root(width: int, steps: int, products: int) -> Contestant:
    """`torchopt.diff.implicit.custom_root` with its conjugate gradient; φ and one log σ² a layer are learned.

    The inner solver is the proximal gradient descent of σ-iMAML, written on tuples of tensors as custom_root wants it.
    """
    torchopt = importlib.import_module("torchopt")
    implicit = importlib.import_module("torchopt.diff.implicit")
    linear_solve = importlib.import_module("torchopt.linear_solve")
    model = network(width)
    names = [name for name, _ in model.named_parameters()]
    layers = list(dict.fromkeys(name.split(".")[0] for name in names))
    layer_of = [layers.index(name.split(".")[0]) for name in names]
    phi = tuple(model.parameters())
    log_variances = torch.full((len(layers),), VARIANCE).log().requires_grad_()
    outer = torch.optim.SGD([*phi, log_variances], lr=OUTER_RATE)

    def nll(params: Sequence[Tensor], data: Any) -> Tensor:
        return loss(_call(model, dict(zip(names, params, strict=True))), data)

    def stationarity(params: Sequence[Tensor], phi: Sequence[Tensor], log_variances: Tensor, data: Any) -> Any:
        precision = torch.exp(-log_variances)
        gradients = torch.func.grad(nll)(params, data)
        return tuple(
            g + (p - c) * precision[m] for g, p, c, m in zip(gradients, params, phi, layer_of, strict=True)
        )  # fmt: skip

    @implicit.custom_root(
        stationarity, argnums=(1, 2), solve=linear_solve.solve_cg(maxiter=products, rtol=0.0, atol=0.0)
    )
    def solve(params: Sequence[Tensor], phi: Sequence[Tensor], log_variances: Tensor, data: Any) -> Any:
        phi = tuple(centre.detach() for centre in phi)
        shrunk = (1 + RATE * torch.exp(-log_variances.detach())).tolist()
        deltas = [torch.zeros_like(centre) for centre in phi]
        for _ in range(steps):
            params = tuple((c + d).requires_grad_() for c, d in zip(phi, deltas, strict=True))
            with torch.enable_grad():
                gradients = torch.autograd.grad(nll(params, data), params)
            deltas = [(d - RATE * g) / shrunk[m] for d, g, m in zip(deltas, gradients, layer_of, strict=True)]
        return tuple(c + d for c, d in zip(phi, deltas, strict=True))

    assert torchopt

    def step(tasks: Sequence[Task]) -> None:
        outer.zero_grad()
        for task in tasks:
            found = solve(tuple(p.detach() for p in phi), phi, log_variances, task.support)
            (nll(found, task.query) / len(tasks)).backward()
        outer.step()

    return step, lambda: _gradient(model)


def _call(model: nn.Module, params: Any) -> Callable[..., Any]:
    return lambda *args: functional_call(model, params, args)
