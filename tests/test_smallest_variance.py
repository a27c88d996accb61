"""The learned variances of modules fall to a smallest value, in long steps also where the gradient vanishes."""

from __future__ import annotations

from typing import Any

import pytest
from toy_domains import gradient_learner, make_trainer, regression_task

TASKS = [regression_task(seed) for seed in range(3)]
FALLING: dict[str, Any] = {
    "inner_steps": 3,
    "inner_lr": 0.02,
    "outer_solver": "adam",
    "outer_lr": 0.0,
    "variance": 1e-3,
}
FALLING |= {"hyperprior": "half-cauchy", "hyperprior_scale": 1e-6}
"""Settings under which the hyperprior reduces every σ²."""


def smallest_variance(steps: int, **settings: Any) -> float:
    trainer = make_trainer("sigma-imaml", FALLING | settings)
    for _ in range(steps):
        trainer.step(TASKS)
    return min(gradient_learner(trainer).variances().values())


def test_a_variance_stops_at_the_smallest_value() -> None:
    settings = {"variance_lr": 1.0}
    assert smallest_variance(5, **settings) < 0.9e-4
    assert smallest_variance(5, **settings, min_variance=1e-4) == pytest.approx(1e-4)


def test_a_small_beta2_keeps_steps_long_while_the_gradient_vanishes() -> None:
    """The gradient of the hyperprior is proportional to a small σ². Adam divides it by earlier, larger gradients."""
    settings = {"variance_lr": 0.5, "hyperprior_scale": 0.1}
    long, short = (smallest_variance(25, **settings, outer_beta2=beta2) for beta2 in (0.9, 0.999))
    assert long < 0.5 * short
