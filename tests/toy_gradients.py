"""Meta-parameters of toy domains, their exact MAP, and closed-form meta-gradients, for the tests of meta-gradients."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from toy_domains import likelihood_of, quadratic_loss

from tts_meta.meta import (
    ConjugateGradient,
    GradientDescent,
    Likelihood,
    MetaParams,
    ShrinkagePrior,
    StepSizeSchedule,
    Task,
)
from tts_meta.meta.estimators.meta_gradients import MetaGradientEstimator
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.meta.solvers.inner_loop import InnerLoop

EXACT = ConjugateGradient(200, 1e-13)


def meta_of(likelihood: Likelihood, log_variances: Tensor, rate: float = 0.0) -> MetaParams:
    adapted, shared = (
        parameter_vector(likelihood.model, likelihood.adapted),
        parameter_vector(likelihood.model, likelihood.shared),
    )
    return MetaParams(adapted, shared, log_variances.double(), torch.tensor(rate, dtype=torch.float64))


def descent(likelihood: Likelihood, steps: int, rate: float) -> InnerLoop:
    return InnerLoop(GradientDescent(), steps, StepSizeSchedule("fixed", likelihood.adapted, rate, steps))


def run(
    estimator: MetaGradientEstimator,
    likelihood: Likelihood,
    meta: MetaParams,
    tasks: list[Task],
    steps: int = 0,
    rate: float = 0.1,
):
    meta = replace(meta, step_sizes=torch.tensor(rate, dtype=torch.float64))
    return estimator(likelihood, meta, tasks, descent(likelihood, steps, rate))


def maximum_a_posteriori(likelihood: Likelihood, meta: MetaParams, tasks: list[Task]) -> Tensor:
    """The exact δ `(T, P)`, by Newton's method with a line search."""
    prior = ShrinkagePrior(likelihood.adapted, meta.log_variances)
    rows = []
    for task in tasks:

        def objective(delta: Tensor, task: Task = task) -> Tensor:
            nll = likelihood.nll((meta.adapted + delta)[None], meta.shared, [task.support])[0]
            return nll + prior.penalty(delta)

        delta = torch.zeros_like(meta.adapted)
        for _ in range(200):
            point = delta.requires_grad_()
            gradient = torch.autograd.grad(objective(point), point)[0]
            if gradient.norm() < 1e-11:
                break
            hessian = torch.autograd.functional.hessian(objective, delta.detach(), vectorize=True)
            assert isinstance(hessian, Tensor)
            values, vectors = torch.linalg.eigh(hessian)
            step = vectors @ ((vectors.T @ gradient) / values.abs().clamp(min=1e-3))
            size = 1.0
            while size > 1e-6 and objective(delta.detach() - size * step) > objective(delta.detach()):
                size /= 2
            if size <= 1e-6:
                break
            delta = (delta - size * step).detach()
        rows.append(delta.detach())
    return torch.stack(rows)


def closed_form(
    likelihood: Likelihood, meta: MetaParams, tasks: list[Task], adapts: Tensor
) -> tuple[Tensor, MetaParams]:
    """δ and the meta-gradient of quadratic losses by dense algebra; `adapts` marks the adapted part of the vector."""
    precision = ShrinkagePrior(likelihood.adapted, meta.log_variances).precision()
    full = parameter_vector(likelihood.model, likelihood_of(likelihood.model, quadratic_loss).adapted)
    deltas, phi, psi, s = [], 0.0, 0.0, 0.0
    for task in tasks:
        a, q = task.support, task.query
        h, h_mixed = a.curvature[adapts][:, adapts], a.curvature[~adapts][:, adapts]
        slope = (a.curvature @ (full - a.centre))[adapts]
        delta = -torch.linalg.solve(h + torch.diag(precision), slope)
        theta = full.clone()
        theta[adapts] += delta
        g = q.curvature @ (theta - q.centre)
        v = torch.linalg.solve(h + torch.diag(precision), g[adapts])
        phi, psi = phi + v * precision, psi + g[~adapts] - h_mixed @ v
        s = s + likelihood.adapted.sum_modules(v * delta * precision)
        deltas.append(delta)
    zero = torch.zeros((), dtype=torch.float64)
    return torch.stack(deltas), MetaParams(torch.as_tensor(phi), torch.as_tensor(psi), torch.as_tensor(s), zero)
