"""`Implicit`: the meta-gradient of iMAML and σ-iMAML, by implicit differentiation of the solved inner problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tts_meta.meta.estimators.meta_gradients import MetaParams, solve_detached
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.solvers.gauss_newton import HessianKind, curvature_products
from tts_meta.meta.solvers.inner_loop import InnerLoop
from tts_meta.meta.solvers.linear_solvers import ConjugateGradient, LinearSolver, Outcome
from tts_meta.meta.task import Task


@dataclass(frozen=True)
class Implicit:
    """Differentiate the stationary point (iMAML, Rajeswaran et al. 2019; σ-iMAML, Chen et al. 2020, equations 10-13).

    g = ∇ℓ_val(θ̂) is the gradient of the query loss, H is the Hessian of the likelihood at θ̂ or its Gauss-Newton
    matrix Jᵀ Λ J, S = diag(σ), Σ = S² and ε = δ/σ. The linear system has one of two forms:
    non-centred: (S H S + I) u = S g;
    centred: (H + Σ⁻¹) v = g with the prior as preconditioner, and u = v/σ.
    The gradients are
    ∂/∂φ = g - H S u, which equals u/σ at the solution and needs no division;
    ∂/∂s_m = u_mᵀ ε_m;
    ∂/∂ψ = ∂ℓ_val/∂ψ - H_ψθ S u for the shared parameters.
    If the residual is larger than S g, as at a first direction of negative curvature, H would amplify the error. The
    gradients are then ∂/∂φ = u/σ and ∂/∂ψ = ∂ℓ_val/∂ψ.

    The statistics of a task are `stationarity`, ‖S∇ℓ + ε‖ / ‖ε‖, the gradient of the inner objective at θ̂ in units of
    the prior, and `residual`, the relative residual of the linear system. The counts are the number of Hessian products
    and the number of linear solves with each `Outcome`.
    """

    linear: LinearSolver = field(default_factory=ConjugateGradient)
    centred: bool = False
    hessian: HessianKind = "exact"
    needs_prior: ClassVar[bool] = True
    statistics: ClassVar[tuple[str, ...]] = ("stationarity", "residual")
    counts: ClassVar[tuple[str, ...]] = (
        "hessian_products",
        *(f"linear_solver/{outcome.name.lower()}" for outcome in Outcome),
    )

    def __call__(
        self, likelihood: Likelihood, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop
    ) -> MetaGradient:
        kept, phi = inner.warm_starts, meta.adapted.detach()
        start = phi.expand(len(tasks), -1) if kept is None else phi + kept.start(tasks, phi)
        tasks = likelihood.with_fixed_inputs(start, meta.shared.detach(), tasks, inner.seed)
        delta = solve_detached(likelihood, meta, tasks, inner)
        return self.at(likelihood, meta, tasks, delta, inner.seed)

    def at(
        self, likelihood: Likelihood, meta: MetaParams, tasks: Sequence[Task], delta: Tensor, seed: int = 0
    ) -> MetaGradient:
        """Return the gradient at displacements `(T, P)`, which should be stationary points of the inner objective."""
        sigma = ShrinkagePrior(likelihood.adapted, meta.log_variances.detach()).standard_deviation().to(delta)
        epsilon = delta / sigma
        params = (meta.adapted.detach() + delta).requires_grad_()
        shared = meta.shared.detach().requires_grad_()
        query, support = [task.query for task in tasks], [task.support for task in tasks]
        after = likelihood.of_query.nll(params, shared, query, seed)
        g, g_shared = torch.autograd.grad(after.sum(), (params, shared), allow_unused=True, materialize_grads=True)
        hessian = curvature_products(self.hessian, likelihood, params, shared, support, seed)
        if self.centred:
            solution = self.linear(lambda v: hessian.product(v) + v / sigma.square(), g, sigma.square())
            v, u = solution.value, solution.value / sigma
        else:
            solution = self.linear(lambda u: torch.addcmul(u, sigma, hessian.product(sigma * u)), sigma * g)
            v, u = sigma * solution.value, solution.value
        # g - Hv is u/σ plus residual/σ. The sum is accurate only if the residual is smaller than the right-hand side.
        unsolved = solution.residual[:, None] > 1
        h_v, h_shared = hessian.product_with_mixed(torch.where(unsolved, 0.0, v))
        by_task = torch.where(unsolved, u / sigma, g - h_v)
        gradient = {
            "adapted": by_task.sum(0),
            "shared": g_shared - h_shared,
            "log_variances": likelihood.adapted.sum_modules(u * epsilon).sum(0),
        }
        objective_gradient = (sigma * hessian.gradient + epsilon).norm(dim=-1)
        size = epsilon.norm(dim=-1)
        with torch.no_grad():
            before = likelihood.of_query.nll(meta.adapted.expand(len(tasks), -1), meta.shared, query, seed)
        stationarity = torch.where(size > 0, objective_gradient / torch.where(size > 0, size, 1.0), objective_gradient)
        outcomes = {f"linear_solver/{kind.name.lower()}": solution.outcomes.count(kind) for kind in Outcome}
        return MetaGradient(
            gradient,
            before,
            after.detach(),
            {"stationarity": stationarity, "residual": solution.residual},
            {"hessian_products": solution.steps, **outcomes},
        )
