"""Meta-gradients: from tasks to the gradient of the meta-parameters; how a task is solved is another matter.

Every rule returns the sum over its tasks of d ℓ_val(θ̂_t) / dΦ, or of what takes its place, for Φ = (φ, ψ, s, η): the
centre of what adapts, what all tasks share, s_m = log σ²_m and the step sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError
from tts_meta.meta.domain import Problem, Task
from tts_meta.meta.hvp import HessianName, HessianProducts, second_order
from tts_meta.meta.inner import InnerSolver, StepSize, solve
from tts_meta.meta.inner_lr import StepSizes
from tts_meta.meta.linear import ConjugateGradient, LinearSolver, Outcome
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.seeding import combine


@dataclass(frozen=True)
class MetaParams:
    """Φ. adapted: φ `(P,)`. shared: `(Q,)`. log_variances: `(M,)`. step_sizes: shape of the kind of step sizes."""

    adapted: Tensor
    shared: Tensor
    log_variances: Tensor
    step_sizes: Tensor

    def leaves(self) -> MetaParams:
        """Detached, and asking for gradients."""
        return MetaParams(*(value.detach().requires_grad_() for value in self))

    def __iter__(self):
        return iter((self.adapted, self.shared, self.log_variances, self.step_sizes))


@dataclass(frozen=True)
class InnerLoop:
    """How a task is solved while meta-training. in_sigmas: whether step sizes count in each module's σ.

    seed: what is drawn in inner step k is a function of it and of k.
    """

    solver: InnerSolver
    steps: int
    rates: StepSizes
    in_sigmas: bool = False
    seed: int = 0

    def schedule(self, step_sizes: Tensor, prior: ShrinkagePrior, steps: int) -> Callable[[int], StepSize]:
        """Step sizes of a loop that no gradient is taken through."""
        own = self.rates.schedule(step_sizes.detach(), steps)
        if not self.in_sigmas:
            return own
        sigma = prior.deviation().detach().to(step_sizes)
        return lambda step: own(step) * sigma


@dataclass(frozen=True)
class MetaGradient:
    """Sums over tasks, each shaped as in Φ, and what happened to each task.

    before, after: query losses at φ and at θ̂, `(T,)` nats. stationarity: ‖S∇ℓ + ε‖ / ‖ε‖, the gradient of the inner
    objective at θ̂ in units of the prior, `(T,)`. residual: of the linear system, `(T,)`; products: with the Hessian.
    """

    gradient: MetaParams
    before: Tensor
    after: Tensor
    stationarity: Tensor
    residual: Tensor
    products: int = 0
    outcomes: tuple[Outcome, ...] = ()

    @property
    def finite(self) -> bool:
        """Whether every number of it is."""
        # The extremes of a vector with NaN are NaN; nothing of its size is written.
        numbers = (*self.gradient, self.before, self.after, self.stationarity, self.residual)
        ends = [end for value in numbers if value.numel() for end in value.detach().aminmax()]
        return bool(torch.stack(ends).isfinite().all())


class MetaGradientEstimator(Protocol):
    """A way to differentiate the solve."""

    needs_prior: ClassVar[bool]
    """Whether it is undefined without a proper prior."""

    def __call__(self, problem: Problem, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop) -> MetaGradient: ...


@dataclass(frozen=True)
class Unrolled:
    """Differentiate through the steps (MAML, Finn et al. 2017); order 1 takes their gradients as constants (FOMAML).

    step_weights: weights of the query loss after each step (MAML++, Antoniou et al. 2019); () scores the last alone.
    """

    order: Literal[1, 2] = 2
    step_weights: tuple[float, ...] = ()
    needs_prior: ClassVar[bool] = False

    def __call__(self, problem: Problem, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop) -> MetaGradient:
        leaves = meta.leaves()
        query = [task.query for task in tasks]
        # First order, without a prior or step sizes to learn, no step's δ depends on Φ: nothing is kept.
        prior = ShrinkagePrior(problem.adapted, leaves.log_variances)
        flat = self.order == 1 and not self.step_weights and not inner.rates.learned and prior.is_absent
        with second_order() if self.order == 2 else torch.enable_grad():
            kept, _ = solve(
                lambda params, step: problem.step_nll(params, leaves.shared, tasks, step, inner.seed),
                leaves.adapted,
                prior,
                inner.solver,
                inner.rates.schedule(leaves.step_sizes, inner.steps),
                inner.steps,
                len(tasks),
                order=0 if flat else self.order,
            )
            if flat:
                kept = [leaves.adapted + kept[-1]]
            weights = self.step_weights or (1.0,)
            scored = kept[-len(weights) :]
            losses = [problem.nll(params, leaves.shared, query, inner.seed) for params in scored]
            total = torch.stack([w * loss.sum() for w, loss in zip(weights[-len(scored) :], losses, strict=True)]).sum()
            gradient = torch.autograd.grad(total, tuple(leaves), allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            before = problem.nll(leaves.adapted.expand(len(tasks), -1), leaves.shared, query, inner.seed)
        nothing = torch.zeros_like(before)
        return MetaGradient(MetaParams(*gradient), before, losses[-1].detach(), nothing, nothing)


@dataclass(frozen=True)
class Implicit:
    """Differentiate the stationary point (iMAML, Rajeswaran et al. 2019; σ-iMAML, Chen et al. 2020, equations 10-13).

    With g = ∇ℓ_val(θ̂) and H the Hessian of the likelihood at θ̂, S = diag(σ), ε = δ/σ:
    non-centred, (S H S + I) u = S g; centred, (H + Σ⁻¹) v = g with the prior as preconditioner, u = v/σ. Then
    ∂/∂φ = g - H S u, which equals u/σ at the solution and needs no division; ∂/∂s_m = u_mᵀ ε_m; and for shared
    parameters ∂/∂ψ = ∂ℓ_val/∂ψ - H_ψθ S u. Where the residual is larger than S g itself, as at a first direction of
    negative curvature, H would multiply a fault: there ∂/∂φ = u/σ and ∂/∂ψ = ∂ℓ_val/∂ψ.
    """

    linear: LinearSolver = field(default_factory=ConjugateGradient)
    centred: bool = False
    hessian: HessianName = "exact"
    needs_prior: ClassVar[bool] = True

    def __call__(self, problem: Problem, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop) -> MetaGradient:
        delta = _solve_flat(problem, meta, tasks, inner)
        return self.at(problem, meta, tasks, delta, inner.seed)

    def at(
        self, problem: Problem, meta: MetaParams, tasks: Sequence[Task], delta: Tensor, seed: int = 0
    ) -> MetaGradient:
        """The gradient at given displacements `(T, P)`, which should be stationary points of the inner objective."""
        sigma = ShrinkagePrior(problem.adapted, meta.log_variances.detach()).deviation().to(delta)
        scaled = delta / sigma  # ε
        params = (meta.adapted.detach() + delta).requires_grad_()
        shared = meta.shared.detach().requires_grad_()
        query, support = [task.query for task in tasks], [task.support for task in tasks]
        after = problem.nll(params, shared, query, seed)
        g, g_shared = torch.autograd.grad(after.sum(), (params, shared), allow_unused=True, materialize_grads=True)
        bend = HessianProducts(lambda p, s: problem.nll(p, s, support, seed), params, shared, self.hessian)
        if self.centred:
            solution = self.linear(lambda v: bend.product(v) + v / sigma.square(), g, sigma.square())
            v, u = solution.value, solution.value / sigma
        else:
            solution = self.linear(lambda u: torch.addcmul(u, sigma, bend.product(sigma * u)), sigma * g)
            v, u = sigma * solution.value, solution.value
        # g - Hv is u/σ and the residual over σ: of use while that is smaller than what was to be solved.
        lost = solution.residual[:, None] > 1
        h_v, h_shared = bend.both(torch.where(lost, 0.0, v))
        by_task = torch.where(lost, u / sigma, g - h_v)
        gradient = MetaParams(
            by_task.sum(0),
            g_shared - h_shared,
            problem.adapted.sum_modules(u * scaled).sum(0),
            torch.zeros_like(meta.step_sizes),
        )
        off = (sigma * bend.gradient + scaled).norm(dim=-1)
        size = scaled.norm(dim=-1)
        with torch.no_grad():
            before = problem.nll(meta.adapted.expand(len(tasks), -1), meta.shared, query, seed)
        return MetaGradient(
            gradient,
            before,
            after.detach(),
            torch.where(size > 0, off / torch.where(size > 0, size, 1.0), off),
            solution.residual,
            solution.steps,
            solution.outcomes,
        )


@dataclass(frozen=True)
class Reptile:
    """Move φ to the tasks' solutions (Nichol, Achiam, Schulman 2018), found on support and query together."""

    needs_prior: ClassVar[bool] = False

    def __call__(self, problem: Problem, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop) -> MetaGradient:
        query = [task.query for task in tasks]

        def nll(params: Tensor, shared: Tensor, step: int) -> Tensor:
            own = problem.step_nll(params, shared, tasks, step, inner.seed)
            return own + problem.nll(params, shared, query, combine(inner.seed, step))

        with torch.no_grad():
            before = problem.nll(meta.adapted.expand(len(tasks), -1), meta.shared, query, inner.seed)
        delta = _solve_flat(problem, meta, tasks, inner, nll)
        params, shared = (meta.adapted.detach() + delta), meta.shared.detach().requires_grad_()
        loss = nll(params, shared, 0)
        g_shared = _shared_gradient(loss.sum(), shared)
        with torch.no_grad():
            after = problem.nll(params, shared, query, inner.seed)
        nothing = torch.zeros_like(before)
        gradient = MetaParams(
            -delta.sum(0), g_shared, torch.zeros_like(meta.log_variances), torch.zeros_like(meta.step_sizes)
        )
        return MetaGradient(gradient, before, after, nothing, nothing)


@dataclass(frozen=True)
class ShrinkageReptile:
    """σ-Reptile: φ by joint MAP, ∂/∂φ_m = (φ_m - θ̂_m)/σ²_m; s by the implicit gradient with φ held constant.

    Shared parameters, which are modules of variance zero, follow the same joint density: ∂ℓ_train/∂ψ at θ̂.
    """

    implicit: Implicit = field(default_factory=Implicit)
    needs_prior: ClassVar[bool] = True

    def __call__(self, problem: Problem, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop) -> MetaGradient:
        delta = _solve_flat(problem, meta, tasks, inner)
        found = self.implicit.at(problem, meta, tasks, delta, inner.seed)
        precision = ShrinkagePrior(problem.adapted, meta.log_variances.detach()).precision().to(delta)
        shared = meta.shared.detach().requires_grad_()
        whole = [task.support for task in tasks]
        support = problem.nll(meta.adapted.detach() + delta, shared, whole, inner.seed)
        g_shared = _shared_gradient(support.sum(), shared)
        gradient = replace(found.gradient, adapted=(-delta * precision).sum(0), shared=g_shared)
        return replace(found, gradient=gradient)


@dataclass(frozen=True)
class JointTraining:
    """No meta-learning: φ and the shared part fit all tasks at once, as pretraining does."""

    needs_prior: ClassVar[bool] = False

    def __call__(self, problem: Problem, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop) -> MetaGradient:
        leaves = meta.leaves()
        params = leaves.adapted.expand(len(tasks), -1)
        after = problem.nll(params, leaves.shared, [task.query for task in tasks], inner.seed)
        total = problem.step_nll(params, leaves.shared, tasks, 0, inner.seed) + after
        gradient = torch.autograd.grad(total.sum(), tuple(leaves), allow_unused=True, materialize_grads=True)
        nothing = torch.zeros_like(after.detach())
        return MetaGradient(MetaParams(*gradient), after.detach(), after.detach(), nothing, nothing)


def _shared_gradient(total: Tensor, shared: Tensor) -> Tensor:
    """∂/∂ψ, where there is anything to share."""
    if not len(shared):
        return torch.zeros_like(shared)
    return torch.autograd.grad(total, shared, allow_unused=True, materialize_grads=True)[0]


def _solve_flat(problem: Problem, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop, nll=None) -> Tensor:
    """Displacements `(T, P)` without a graph: memory does not grow with the steps."""
    shared = meta.shared.detach()

    def support(params: Tensor, step: int) -> Tensor:
        if nll is not None:
            return nll(params, shared, step)
        return problem.step_nll(params, shared, tasks, step, inner.seed)

    prior = ShrinkagePrior(problem.adapted, meta.log_variances.detach())
    kept, _ = solve(
        support,
        meta.adapted.detach(),
        prior,
        inner.solver,
        inner.schedule(meta.step_sizes, prior, inner.steps),
        inner.steps,
        len(tasks),
    )
    return kept[-1]


def check_rule(rule: MetaGradientEstimator, prior: ShrinkagePrior) -> None:
    """Raise TtsMetaError where a rule that needs a proper prior has none."""
    if rule.needs_prior and not prior.is_proper:
        raise TtsMetaError(f"the {type(rule).__name__} meta-gradient needs a prior of finite variance; add one")
