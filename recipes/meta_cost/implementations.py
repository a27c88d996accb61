"""The same meta-step in tts_meta, in `higher` and in TorchOpt: one network, one set of tasks, one outer step.

Each implementation has its own copy of the meta-parameters, and moves it by one step of gradient descent on the mean
query loss. `higher` and TorchOpt are not dependencies of the project. If they are not installed, their rows are left
out.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.meta import (
    Domain,
    GradientLearner,
    MetaTrainer,
    Task,
    TrainerSettings,
    create_learner,
    find_learner,
)
from tts_meta.models.partition import Partition

INSTALL = "pip install higher==0.2.1 torchopt==0.7.3"
INNER_LR, OUTER_LR, VARIANCE = 3e-5, 1e-5, 1e-3

Implementation = tuple[Callable[[Sequence[Task]], Any], Callable[[], Tensor]]
"""A function that takes one meta-step, and a function that returns the gradient of φ of the last step, a vector."""


def installed(*names: str) -> bool:
    """Whether all these packages are installed."""
    return all(importlib.util.find_spec(name) for name in names)


def network(width: int) -> nn.Module:
    """1-width-width-1 with tanh; every call gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )  # fmt: skip


def sinusoids(count: int, points: int, seed: int = 0) -> list[Task]:
    """Sinusoids of random amplitude and phase, with `points` support points and the same number of query points."""
    generator = torch.Generator().manual_seed(seed)
    tasks = []
    for _ in range(count):
        amplitude, phase = torch.rand(2, generator=generator).tolist()
        x = torch.rand(2 * points, 1, generator=generator) * 10 - 5
        y = (0.1 + 4.9 * amplitude) * torch.sin(x - 3.14 * phase)
        tasks.append(Task((x[:points], y[:points]), (x[points:], y[points:])))
    return tasks


def loss(call: Callable[..., Any], data: Any) -> Tensor:
    """Gaussian likelihood with standard deviation 1, in nats, without its constant."""
    x, y = data
    return 0.5 * (call(x) - y).square().sum()


def build_trainer(name: str, width: int, steps: int, products: int = 10, tasks_at_once: int = 0) -> MetaTrainer:
    """A trainer of tts_meta that differentiates `tasks_at_once` tasks in parallel; 0 means one after another."""
    settings = {
        "inner_steps": steps,
        "inner_lr": INNER_LR,
        "variance": VARIANCE,
        "variance_lr": OUTER_LR,
        "cg_max_iters": products,
        "tolerance": 1e-30,  # use all products, as the other libraries do
    }
    own = {key: value for key, value in settings.items() if key in find_learner(name).Settings.model_fields}
    model = network(width)
    domain = Domain(model, loss, Partition.by_layer(model).modules, vectorised=tasks_at_once > 0)
    learner = create_learner(name, domain, own)
    return MetaTrainer(
        learner, TrainerSettings(outer_solver="sgd", outer_lr=OUTER_LR), tasks_at_once=max(1, tasks_at_once)
    )


def learner_of(trainer: MetaTrainer) -> GradientLearner:
    """The learner of a trainer."""
    assert isinstance(trainer.learner, GradientLearner)
    return trainer.learner


def tts_meta_learner(name: str, width: int, steps: int, products: int = 10, tasks_at_once: int = 0) -> Implementation:
    """`MetaTrainer.step`."""
    trainer = build_trainer(name, width, steps, products, tasks_at_once)
    gradient = last_gradient(trainer)
    return trainer.step, lambda: gradient[-1]


def last_gradient(trainer: MetaTrainer) -> list[Tensor]:
    """A list that always holds the last gradient of φ that the trainer's optimiser received."""
    gradients: list[Tensor] = []

    def record(*_: object) -> None:
        gradient = learner_of(trainer).adapted.grad
        assert gradient is not None
        gradients[:] = [gradient.clone()]

    trainer.optimiser.register_step_pre_hook(record)
    return gradients


def _gradient(model: nn.Module) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def higher_maml(width: int, steps: int) -> Implementation:
    """`higher.innerloop_ctx`, unrolled."""
    higher = importlib.import_module("higher")
    model = network(width)
    inner = torch.optim.SGD(model.parameters(), lr=INNER_LR)
    outer = torch.optim.SGD(model.parameters(), lr=OUTER_LR)

    def step(tasks: Sequence[Task]) -> None:
        outer.zero_grad()
        for task in tasks:
            with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (fast, differentiable):
                for _ in range(steps):
                    differentiable.step(loss(fast, task.support))
                (loss(fast, task.query) / len(tasks)).backward()
        outer.step()

    return step, lambda: _gradient(model)


def torchopt_maml(width: int, steps: int) -> Implementation:
    """`torchopt.MetaSGD`, unrolled."""
    torchopt = importlib.import_module("torchopt")
    model = network(width)
    inner = torchopt.MetaSGD(model, lr=INNER_LR)
    outer = torch.optim.SGD(model.parameters(), lr=OUTER_LR)

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


def torchopt_functional_maml(width: int, steps: int) -> Implementation:
    """`torchopt.FuncOptimizer(torchopt.sgd)` on parameters by name, unrolled."""
    torchopt = importlib.import_module("torchopt")
    model = network(width)
    outer = torch.optim.SGD(model.parameters(), lr=OUTER_LR)
    phi = dict(model.named_parameters())

    def step(tasks: Sequence[Task]) -> None:
        outer.zero_grad()
        for task in tasks:
            inner, params = torchopt.FuncOptimizer(torchopt.sgd(lr=INNER_LR)), phi
            for _ in range(steps):
                params = inner.step(loss(_call(model, params), task.support), params)
            (loss(_call(model, params), task.query) / len(tasks)).backward()
        outer.step()

    return step, lambda: _gradient(model)


def torchopt_custom_root(width: int, steps: int, products: int) -> Implementation:
    """`torchopt.diff.implicit.custom_root` with its conjugate gradient; φ and one log σ² per layer are learned.

    The inner solver is the proximal gradient descent of σ-iMAML, on tuples of tensors as custom_root requires.
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
    outer = torch.optim.SGD([*phi, log_variances], lr=OUTER_LR)

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
        shrunk = (1 + INNER_LR * torch.exp(-log_variances.detach())).tolist()
        deltas = [torch.zeros_like(centre) for centre in phi]
        for _ in range(steps):
            params = tuple((c + d).requires_grad_() for c, d in zip(phi, deltas, strict=True))
            with torch.enable_grad():
                gradients = torch.autograd.grad(nll(params, data), params)
            deltas = [(d - INNER_LR * g) / shrunk[m] for d, g, m in zip(deltas, gradients, layer_of, strict=True)]
        return tuple(c + d for c, d in zip(phi, deltas, strict=True))

    assert torchopt

    def step(tasks: Sequence[Task]) -> None:
        outer.zero_grad()
        for task in tasks:
            solution = solve(tuple(p.detach() for p in phi), phi, log_variances, task.support)
            (nll(solution, task.query) / len(tasks)).backward()
        outer.step()

    return step, lambda: _gradient(model)


def _call(model: nn.Module, params: Any) -> Callable[..., Any]:
    return lambda *args: functional_call(model, params, args)
