"""`Reptile` and `ShrinkageReptile`: meta-gradients that move φ towards the adapted parameters of the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from tts_meta.meta.estimators.implicit import Implicit
from tts_meta.meta.estimators.meta_gradients import MetaParams, shared_gradient, solve_detached
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.seeding import combine_seeds
from tts_meta.meta.solvers.inner_loop import InnerLoop
from tts_meta.meta.task import Task


@dataclass(frozen=True)
class Reptile:
    """Move φ towards the parameters that adapt to support and query together (Nichol, Achiam, Schulman 2018)."""

    needs_prior: ClassVar[bool] = False

    def __call__(
        self, likelihood: Likelihood, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop
    ) -> MetaGradient:
        query = [task.query for task in tasks]

        def nll(params: Tensor, shared: Tensor, step: int) -> Tensor:
            support_nll = likelihood.step_nll(params, shared, tasks, step, inner.seed)
            return support_nll + likelihood.nll(params, shared, query, combine_seeds(inner.seed, step))

        with torch.no_grad():
            before = likelihood.nll(meta.adapted.expand(len(tasks), -1), meta.shared, query, inner.seed)
        delta = solve_detached(likelihood, meta, tasks, inner, nll)
        params, shared = (meta.adapted.detach() + delta), meta.shared.detach().requires_grad_()
        g_shared = shared_gradient(nll(params, shared, 0).sum(), shared)
        with torch.no_grad():
            after = likelihood.nll(params, shared, query, inner.seed)
        return MetaGradient({"adapted": -delta.sum(0), "shared": g_shared}, before, after)


@dataclass(frozen=True)
class ShrinkageReptile:
    """σ-Reptile: joint MAP estimation of φ, and the implicit gradient of s = log σ² with a constant φ.

    The gradient of φ is ∂/∂φ_m = (φ_m - θ̂_m)/σ²_m. The shared parameters ψ are modules of variance zero under the same
    joint density, so their gradient is that of the support loss at θ̂, ∂ℓ_train/∂ψ.
    """

    implicit: Implicit = field(default_factory=Implicit)
    needs_prior: ClassVar[bool] = True
    statistics: ClassVar[tuple[str, ...]] = Implicit.statistics
    counts: ClassVar[tuple[str, ...]] = Implicit.counts

    def __call__(
        self, likelihood: Likelihood, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop
    ) -> MetaGradient:
        delta = solve_detached(likelihood, meta, tasks, inner)
        implicit = self.implicit.at(likelihood, meta, tasks, delta, inner.seed)
        precision = ShrinkagePrior(likelihood.adapted, meta.log_variances.detach()).precision().to(delta)
        shared = meta.shared.detach().requires_grad_()
        support = [task.support for task in tasks]
        support_nll = likelihood.nll(meta.adapted.detach() + delta, shared, support, inner.seed)
        g_shared = shared_gradient(support_nll.sum(), shared)
        joint = {"adapted": (-delta * precision).sum(0), "shared": g_shared}
        return replace(implicit, gradient={**implicit.gradient, **joint})
