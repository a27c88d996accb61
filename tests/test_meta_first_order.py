"""First-order meta-gradients of the prior's variances."""

from __future__ import annotations

import math

import pytest
import torch
from toy_domains import Net, likelihood_of, regression_loss, regression_task

from tts_meta.meta import GradientDescent, MetaParams, Params, StepSizeSchedule, Unrolled
from tts_meta.meta.estimators.meta_gradients import InnerLoop
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.meta.solvers.inner_lr import StepSizeKind


def gradient_of(order: int, log_variances: list[float], steps: int = 5, kind: StepSizeKind = "fixed") -> Params:
    likelihood = likelihood_of(Net(), regression_loss)
    adapted, shared = (
        parameter_vector(likelihood.model, likelihood.adapted),
        parameter_vector(likelihood.model, likelihood.shared),
    )
    rates = StepSizeSchedule(kind, likelihood.adapted, 0.01, steps)
    meta = MetaParams(adapted, shared, torch.tensor(log_variances, dtype=torch.float64), rates.create(adapted))
    estimator = Unrolled(1 if order == 1 else 2)
    return estimator(
        likelihood, meta, [regression_task(1), regression_task(2)], InnerLoop(GradientDescent(), steps, rates)
    ).gradient


@pytest.mark.parametrize("kind", ["fixed", "scalar"])
def test_a_free_module_does_not_hide_the_variances_of_the_others(kind: StepSizeKind) -> None:
    """An infinite variance is the limit of large variances, also for the gradients of the other modules."""
    mixed = gradient_of(1, [math.inf, -2.0, -3.0, math.inf], kind=kind)
    limit = gradient_of(1, [500.0, -2.0, -3.0, 500.0], kind=kind)
    torch.testing.assert_close(mixed["log_variances"], limit["log_variances"], atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(mixed["adapted"], limit["adapted"], atol=1e-12, rtol=1e-12)
    assert bool(mixed["log_variances"][1:3].all()) and not mixed["log_variances"][[0, 3]].any()


def test_after_one_step_first_and_second_order_agree_on_the_variances() -> None:
    """The gradient of the only step is taken at φ, which does not depend on the variances."""
    first, second = (gradient_of(order, [-4.0, -2.0, -3.0, -5.0], steps=1) for order in (1, 2))
    torch.testing.assert_close(first["log_variances"], second["log_variances"], atol=1e-12, rtol=1e-12)
    assert not torch.allclose(first["adapted"], second["adapted"], rtol=1e-2)
