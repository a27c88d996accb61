"""Closed forms of the recipe linear_gaussian: expected query loss, optimal σ and a lower bound of the error of φ.

They use dense algebra in double precision. At the true φ, the solution of a solver is linear in the data,
δ̂ = G (y - X φ), so the expected query loss over θ and noise has a closed form for given inputs. The MAP at the true σ
is the posterior mean, which has the smallest squared error of all estimators: the optimal σ of the MAP is the true σ.
A solver that stops early has a different optimal σ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.linear_gaussian.tasks import LinearGaussian
from tts_meta.errors import TtsMetaError


@dataclass(frozen=True)
class Solver:
    """Proximal gradient descent from δ = 0 with `steps` steps of size `step_size`; None steps give the MAP."""

    steps: int | None = None
    step_size: float = 0.0

    def gain(self, x: Tensor, sigma: Tensor, noise: float) -> Tensor:
        """G `(T, P, N)` for inputs `(T, N, P)` and σ `(P,)`, which may be zero."""
        variance = sigma.square()
        if self.steps is None:
            covariance = (x * variance) @ x.mT + noise**2 * torch.eye(x.shape[1], dtype=x.dtype)
            return variance[:, None] * torch.linalg.solve(covariance, x).mT
        shrink = (variance / (variance + self.step_size))[:, None]
        gain, identity = torch.zeros_like(x.mT), torch.eye(x.shape[1], dtype=x.dtype)
        for _ in range(self.steps):
            gain = shrink * (gain - self.step_size / noise**2 * x.mT @ (x @ gain - identity))
        return gain


MAP = Solver()


def expected_loss(family: LinearGaussian, x: Tensor, sigma: Tensor, solver: Solver = MAP) -> Tensor:
    """Query loss at the true φ for σ `(P,)`, in nats: a mean over inputs `(T, 2 N, P)`, exact over θ and noise.

    With δ̂ - δ = (G X - I) δ + G e and Q = X_qᵀ X_q, the loss is
    N/2 + tr(Q (G X - I) S² (G X - I)ᵀ) / 2ν² + tr(Q G Gᵀ) / 2, where S holds the true σ and ν is the noise.
    """
    support, query = x[:, : family.points], x[:, family.points :]
    gain = solver.gain(support, sigma, family.noise)
    bias = query @ (gain @ support - torch.eye(x.shape[2], dtype=x.dtype)) * family.deviation.to(x)
    variance = query @ gain
    total = bias.square().sum((1, 2)) / family.noise**2 + variance.square().sum((1, 2))
    return 0.5 * (family.points + total.mean())


def best_deviations(family: LinearGaussian, solver: Solver = MAP, tasks: int = 500, seed: int = 0) -> dict[str, float]:
    """σ of each module that minimises the expected query loss; infinite if the loss falls for ever.

    Raises TtsMetaError if the search does not converge.
    """
    x = family.inputs(tasks, torch.Generator().manual_seed(seed)).double()
    # Search in σ, in which the loss is smooth through zero; in log σ² it has no minimum there.
    sigma = torch.full((len(family.deviations),), 0.3, dtype=x.dtype, requires_grad=True)
    search = torch.optim.LBFGS([sigma], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss = expected_loss(family, x, sigma.repeat_interleave(family.size), solver)
        loss.backward()
        return loss

    search.step(closure)
    closure()
    if sigma.grad is None or not sigma.grad.norm() < 1e-4:
        raise TtsMetaError("the search for the optimal σ did not converge; change the settings of the family")
    values = sigma.detach().abs().tolist()
    return {name: value if value < 1e3 else float("inf") for name, value in zip(family.deviations, values, strict=True)}


def centre_lower_bound(family: LinearGaussian, tasks: int, sampled: int = 500, seed: int = 0) -> float:
    """Root mean square ‖φ̂ - φ‖ / ‖φ‖ of generalised least squares at the true σ, on all data of `tasks` tasks.

    It is the Cramér-Rao bound: no unbiased estimator has a smaller error.
    """
    x = family.inputs(sampled, torch.Generator().manual_seed(seed)).double()
    covariance = (x * family.deviation.to(x).square()) @ x.mT + family.noise**2 * torch.eye(x.shape[1], dtype=x.dtype)
    information = (x.mT @ torch.linalg.solve(covariance, x)).mean(0) * tasks
    return float(torch.linalg.inv(information).trace().sqrt() / family.centre.norm())
