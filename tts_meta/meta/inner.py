"""Inner solvers: from meta-parameters φ to a task's parameters θ.

A solver is `init` and `step`; `solve` owns the loop. The likelihood's gradient moves the parameters, the prior follows
as a proximal step, which is stable however small σ² is, where plain descent on the penalty diverges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError
from tts_meta.meta.prior import Params, ShrinkagePrior


@dataclass(frozen=True)
class AdamState:
    """Step count and the running first and second moments of each parameter's gradient."""

    count: int
    first: Params
    second: Params


@dataclass(frozen=True)
class ProximalAdam:
    """Adam (Kingma and Ba 2015) on the likelihood, then the proximal step of the prior in Adam's own metric.

    Each parameter's proximal step has the step size that its gradient was multiplied by, η / (√v̂ + ε). With η itself
    the fixed point would be |θ - φ| = σ² whatever the gradient's size; so it is the MAP, ∇ + (θ - φ) / σ² = 0.
    """

    learning_rate: float = 1e-3
    beta_first: float = 0.9
    beta_second: float = 0.98
    epsilon: float = 1e-8

    def init(self, params: Params) -> AdamState:
        """Moments of zero."""
        return AdamState(
            0,
            {name: torch.zeros_like(value) for name, value in params.items()},
            {name: torch.zeros_like(value) for name, value in params.items()},
        )

    def step(
        self, params: Params, gradients: Params, state: AdamState, meta_params: Params, prior: ShrinkagePrior
    ) -> tuple[Params, AdamState]:
        """One step; `params` and `state` are changed in place, the rest is only read."""
        count = state.count + 1
        first_scale = 1 - self.beta_first**count
        second_scale = 1 - self.beta_second**count
        for name, value in params.items():
            gradient, first, second = gradients[name], state.first[name], state.second[name]
            first.lerp_(gradient, 1 - self.beta_first)
            second.mul_(self.beta_second).addcmul_(gradient, gradient, value=1 - self.beta_second)
            root = second.sqrt().mul_(second_scale**-0.5).add_(self.epsilon)
            value.addcdiv_(first, root, value=-self.learning_rate / first_scale)
            prior.proximal_(name, value, meta_params[name], root.reciprocal_().mul_(self.learning_rate))
        return params, AdamState(count, state.first, state.second)


@dataclass
class Trace:
    """What happened: the loss of each step, nats."""

    losses: list[float] = field(default_factory=list)


def solve(
    loss: Callable[[Params, int], Tensor],
    meta_params: Params,
    prior: ShrinkagePrior,
    solver: ProximalAdam,
    steps: int,
    report: Callable[[int, Params, float], None] = lambda step, params, loss: None,
) -> tuple[Params, Trace]:
    """Run `steps` steps from `meta_params`; `loss(params, step)` is -log p(data | θ), a scalar.

    `report(step, params, loss)` is called after each step. Raises TtsMetaError where the loss stops being finite.
    """
    params = {name: value.detach().clone() for name, value in meta_params.items()}
    state, trace = solver.init(params), Trace()
    for step in range(steps):
        leaves = {name: value.requires_grad_() for name, value in params.items()}
        value = loss(leaves, step)
        if not torch.isfinite(value):
            raise TtsMetaError(f"the loss is not finite after {step} steps; lower the learning rate")
        gradients = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        with torch.no_grad():
            known = {
                name: torch.zeros_like(leaves[name]) if gradient is None else gradient
                for name, gradient in zip(leaves, gradients, strict=True)
            }
            params, state = solver.step({n: v.detach() for n, v in leaves.items()}, known, state, meta_params, prior)
        trace.losses.append(float(value.detach()))
        report(step + 1, params, trace.losses[-1])
    return params, trace
