"""The right answers in closed form, by dense algebra in double precision.

At the true φ what a solver finds is linear in the data, δ̂ = G (y - X φ), so the expected query loss over θ and noise
follows for given inputs. The MAP at the true σ is the posterior mean, which no estimator beats in squared error: the
best σ of the MAP is the true one, in every task. A solver that stops early has another best σ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.linear_gaussian.tasks import LinearGaussian
from tts_meta.errors import TtsMetaError


@dataclass(frozen=True)
class Solver:
    """Proximal gradient descent from δ = 0 for `steps` steps of `rate`; None: the MAP itself."""

    steps: int | None = None
    rate: float = 0.0

    def gain(self, x: Tensor, sigma: Tensor, noise: float) -> Tensor:
        """G `(T, P, N)` for inputs `(T, N, P)` and σ `(P,)`, of which zeros are allowed."""
        variance = sigma.square()
        if self.steps is None:
            spread = (x * variance) @ x.mT + noise**2 * torch.eye(x.shape[1], dtype=x.dtype)
            return variance[:, None] * torch.linalg.solve(spread, x).mT
        shrink = (variance / (variance + self.rate))[:, None]
        gain, one = torch.zeros_like(x.mT), torch.eye(x.shape[1], dtype=x.dtype)
        for _ in range(self.steps):
            gain = shrink * (gain - self.rate / noise**2 * x.mT @ (x @ gain - one))
        return gain


MAP = Solver()


def expected_loss(family: LinearGaussian, x: Tensor, sigma: Tensor, solver: Solver = MAP) -> Tensor:
    """Query loss at the true φ, a mean over inputs `(T, 2 N, P)`, exact over θ and noise, for σ `(P,)`; nats.

    δ̂ - δ = (G X - I) δ + G e, so with Q = X_qᵀ X_q the loss is
    N/2 + tr(Q (G X - I) S² (G X - I)ᵀ) / 2ν² + tr(Q G Gᵀ) / 2, with S the true deviations and ν the noise.
    """
    support, query = x[:, : family.points], x[:, family.points :]
    gain = solver.gain(support, sigma, family.noise)
    bias = query @ (gain @ support - torch.eye(x.shape[2], dtype=x.dtype)) * family.deviation.to(x)
    spread = query @ gain
    total = bias.square().sum((1, 2)) / family.noise**2 + spread.square().sum((1, 2))
    return 0.5 * (family.points + total.mean())


def best_deviations(family: LinearGaussian, solver: Solver = MAP, tasks: int = 500, seed: int = 0) -> dict[str, float]:
    """σ of each module at which the expected query loss is least; infinite where it falls for ever.

    Raises TtsMetaError where the search does not end.
    """
    x = family.inputs(tasks, torch.Generator().manual_seed(seed)).double()
    # The loss is smooth in σ through zero, where log σ² has no minimum.
    roots = torch.full((len(family.deviations),), 0.3, dtype=x.dtype, requires_grad=True)
    search = torch.optim.LBFGS([roots], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss = expected_loss(family, x, roots.repeat_interleave(family.size), solver)
        loss.backward()
        return loss

    search.step(closure)
    closure()
    if roots.grad is None or not roots.grad.norm() < 1e-4:
        raise TtsMetaError("the search for the best deviations did not end")
    found = roots.detach().abs().tolist()
    return {name: value if value < 1e3 else float("inf") for name, value in zip(family.deviations, found, strict=True)}


def centre_floor(family: LinearGaussian, tasks: int, sampled: int = 500, seed: int = 0) -> float:
    """Root mean square ‖φ̂ - φ‖ / ‖φ‖ of generalised least squares at the true σ, on all data of so many tasks.

    No unbiased estimate is nearer to φ (Cramér-Rao).
    """
    x = family.inputs(sampled, torch.Generator().manual_seed(seed)).double()
    spread = (x * family.deviation.to(x).square()) @ x.mT + family.noise**2 * torch.eye(x.shape[1], dtype=x.dtype)
    information = (x.mT @ torch.linalg.solve(spread, x)).mean(0) * tasks
    return float(torch.linalg.inv(information).trace().sqrt() / family.centre.norm())
