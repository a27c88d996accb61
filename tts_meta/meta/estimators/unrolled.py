"""`Unrolled`: the meta-gradient of MAML and FOMAML, by differentiation through the inner steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from tts_meta.meta.estimators.meta_gradients import MetaParams
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.solvers.hvp import second_order
from tts_meta.meta.solvers.inner_loop import InnerLoop, run_inner_loop
from tts_meta.meta.solvers.inner_solvers import Lbfgs
from tts_meta.meta.task import Task


@dataclass(frozen=True)
class Unrolled:
    """Differentiate through the inner steps (MAML, Finn et al. 2017).

    order: with 1, the gradients of the inner steps are constants (FOMAML). step_weights: weights of the query losses
    after each of the last steps (MAML++, Antoniou et al. 2019); () scores only the last step.
    """

    order: Literal[1, 2] = 2
    step_weights: tuple[float, ...] = ()
    needs_prior: ClassVar[bool] = False

    def __call__(
        self, likelihood: Likelihood, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop
    ) -> MetaGradient:
        assert not isinstance(inner.solver, Lbfgs), "no learner with unrolled gradients has this solver"
        leaves = meta.leaves()
        query = [task.query for task in tasks]
        prior = ShrinkagePrior(likelihood.adapted, leaves.log_variances)
        # With first order, no prior and no learned step sizes, no δ depends on Φ, so no step is stored.
        learned = inner.step_size_schedule.learned
        detached = self.order == 1 and not self.step_weights and not learned and prior.is_absent
        with second_order() if self.order == 2 else torch.enable_grad():
            path, _ = run_inner_loop(
                lambda params, step: likelihood.step_nll(params, leaves.shared, tasks, step, inner.seed),
                leaves.adapted,
                prior,
                inner.solver,
                inner.step_size_schedule.schedule(leaves.step_sizes, inner.steps),
                inner.steps,
                len(tasks),
                order=0 if detached else self.order,
            )
            if detached:
                path = [leaves.adapted + path[-1]]
            weights = self.step_weights or (1.0,)
            scored = path[-len(weights) :]
            losses = [likelihood.nll(params, leaves.shared, query, inner.seed) for params in scored]
            total = torch.stack([w * loss.sum() for w, loss in zip(weights[-len(scored) :], losses, strict=True)]).sum()
            gradient = torch.autograd.grad(total, tuple(leaves), allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            before = likelihood.nll(leaves.adapted.expand(len(tasks), -1), leaves.shared, query, inner.seed)
        return MetaGradient(MetaParams(*gradient).named(), before, losses[-1].detach())
