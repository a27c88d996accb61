"""`JointTraining`: the gradient of pretraining, which fits φ and the shared parameters to all tasks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from tts_meta.meta.estimators.meta_gradients import MetaParams
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.solvers.inner_loop import InnerLoop
from tts_meta.meta.task import Task


@dataclass(frozen=True)
class JointTraining:
    """The gradient of the loss of support and query at φ, without adaptation and therefore without meta-learning."""

    needs_prior: ClassVar[bool] = False

    def __call__(
        self, likelihood: Likelihood, meta: MetaParams, tasks: Sequence[Task], inner: InnerLoop
    ) -> MetaGradient:
        leaves = meta.leaves()
        params = leaves.adapted.expand(len(tasks), -1)
        query_nll = likelihood.nll(params, leaves.shared, [task.query for task in tasks], inner.seed)
        total = likelihood.step_nll(params, leaves.shared, tasks, 0, inner.seed) + query_nll
        gradient = torch.autograd.grad(total.sum(), tuple(leaves), allow_unused=True, materialize_grads=True)
        losses = query_nll.detach()
        return MetaGradient(MetaParams(*gradient).named(), losses, losses)
