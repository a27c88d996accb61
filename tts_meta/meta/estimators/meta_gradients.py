"""`MetaGradientEstimator`: the interface of methods that compute the gradient of the meta-parameters from tasks.

An estimator returns the sum over its tasks of d ℓ_val(θ̂_t) / dΦ, or of the quantity that replaces this derivative. The
meta-parameters are Φ = (φ, ψ, s, η): the initial values of the adapted parameters, the parameters that all tasks share,
s_m = log σ²_m and the step sizes. ℓ_val is the query loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.parameter_layout import Params
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.solvers.inner_loop import InnerLoop, run_inner_loop
from tts_meta.meta.solvers.inner_solvers import Lbfgs
from tts_meta.meta.solvers.lbfgs import run_lbfgs
from tts_meta.meta.task import Task


@dataclass(frozen=True)
class MetaParams:
    """Φ of the gradient family: φ `(P,)`, ψ `(Q,)`, s `(M,)`, and η with the shape of its kind."""

    adapted: Tensor
    shared: Tensor
    log_variances: Tensor
    step_sizes: Tensor

    def leaves(self) -> MetaParams:
        """Return the same values as detached tensors that require gradients."""
        return MetaParams(*(value.detach().requires_grad_() for value in self))

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.adapted, self.shared, self.log_variances, self.step_sizes))

    def named(self) -> Params:
        """Return the tensors by the names that they have in a learner."""
        return dict(zip(("adapted", "shared", "log_variances", "step_sizes"), self, strict=True))


class MetaGradientEstimator(Protocol):
    """A method that differentiates the query loss of adapted tasks with respect to the meta-parameters."""

    needs_prior: ClassVar[bool]
    """Whether the estimator is undefined without a proper prior."""

    def __call__(
        self, likelihood: Likelihood, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop
    ) -> MetaGradient: ...


def check_prior(estimator: MetaGradientEstimator, prior: ShrinkagePrior) -> None:
    """Raise TtsMetaError if the estimator needs a proper prior and this one is not proper."""
    if estimator.needs_prior and not prior.is_proper:
        raise TtsMetaError(f"the {type(estimator).__name__} meta-gradient needs a prior of finite variance; add one")


def solve_detached(
    likelihood: Likelihood,
    meta: MetaParams,
    tasks: Sequence[Task],
    inner: InnerLoop,
    nll: Callable[[Tensor, Tensor, int], Tensor] | None = None,
) -> Tensor:
    """Return displacements δ `(T, P)` without a graph, so that memory does not grow with the number of steps.

    nll: `nll(θ (T, P), shared (Q,), step)` returns `(T,)` nats; None means the loss of the support.
    """
    shared = meta.shared.detach()
    prior = ShrinkagePrior(likelihood.adapted, meta.log_variances.detach())
    if isinstance(inner.solver, Lbfgs):
        assert nll is None, "L-BFGS minimises the loss of the support"
        support = [task.support for task in tasks]

        def support_nll(params: Tensor) -> Tensor:
            return likelihood.nll(params, shared, support, inner.seed)

        kept = inner.warm_starts
        start = None if kept is None else kept.start(tasks, meta.adapted.detach())
        found = run_lbfgs(support_nll, meta.adapted, prior, inner.solver, inner.steps, len(tasks), start).displacement
        if kept is not None:
            kept.keep(tasks, found)
        return found

    def objective(params: Tensor, step: int) -> Tensor:
        if nll is not None:
            return nll(params, shared, step)
        return likelihood.step_nll(params, shared, tasks, step, inner.seed)

    displacements, _ = run_inner_loop(
        objective,
        meta.adapted.detach(),
        prior,
        inner.solver,
        inner.schedule(meta.step_sizes, prior, inner.steps),
        inner.steps,
        len(tasks),
    )
    return displacements[-1]


def shared_gradient(total: Tensor, shared: Tensor) -> Tensor:
    """Return ∂ total / ∂ψ, `(Q,)`; empty if no parameters are shared."""
    if not len(shared):
        return torch.zeros_like(shared)
    return torch.autograd.grad(total, shared, allow_unused=True, materialize_grads=True)[0]
