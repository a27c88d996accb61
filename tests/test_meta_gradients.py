"""Unrolled and Reptile meta-gradients: limits, finite differences, and agreement with each other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor
from toy_domains import Blocks, Net, likelihood_of, quadratic_loss, quadratic_task, regression_loss, regression_task
from toy_gradients import closed_form, descent, meta_of, run

from tts_meta.meta import (
    Adam,
    ConjugateGradient,
    GradientDescent,
    Implicit,
    Likelihood,
    MetaParams,
    Reptile,
    ShrinkageReptile,
    StepSizeSchedule,
    Task,
    Unrolled,
)
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.meta.solvers.inner_loop import InnerLoop


def test_the_unrolled_gradient_converges_to_the_implicit_one_as_steps_grow() -> None:
    likelihood = likelihood_of(Blocks(), quadratic_loss)
    meta, tasks = meta_of(likelihood, torch.tensor([-1.0, 0.5, -2.0])), [quadratic_task(0), quadratic_task(1)]
    adapts = torch.ones(7, dtype=torch.bool)
    _, expected = closed_form(likelihood, meta, tasks, adapts)
    errors = []
    for steps in (3, 10, 30, 100, 300):
        actual = run(Unrolled(), likelihood, meta, tasks, steps).gradient
        errors.append(
            float(
                (actual["adapted"] - expected.adapted).norm()
                + (actual["log_variances"] - expected.log_variances).norm()
            )
        )
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-6 * errors[0]


@pytest.mark.parametrize("solver", [GradientDescent(), Adam()], ids=["gd", "adam"])
def test_unrolled_gradients_are_finite_differences_of_the_steps(solver) -> None:
    likelihood = likelihood_of(Net(), regression_loss, ("first", "head"))
    meta = replace(meta_of(likelihood, torch.tensor([-1.0, -2.0])), step_sizes=torch.tensor(0.01, dtype=torch.float64))
    tasks = [regression_task(1), regression_task(2)]
    inner = InnerLoop(solver, 6, StepSizeSchedule("scalar", likelihood.adapted, 0.01, 6))
    estimator = Unrolled()
    actual = estimator(likelihood, meta, tasks, inner)
    for name in ("adapted", "shared", "log_variances", "step_sizes"):
        value, gradient = getattr(meta, name), actual.gradient[name]
        direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ends = [
            estimator(
                likelihood, replace(meta, **{name: value + sign * 1e-6 * direction}), tasks, inner
            ).loss_after.sum()
            for sign in (1, -1)
        ]
        expected = float((ends[0] - ends[1]) / 2e-6)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5)


def reference_maml(likelihood: Likelihood, meta: MetaParams, tasks: list[Task], steps: int, rate: float) -> Tensor:
    phi = meta.adapted.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for task in tasks:
        theta = phi
        for _ in range(steps):
            value = likelihood.nll(theta[None], meta.shared, [task.support]).sum()
            theta = theta - rate * torch.autograd.grad(value, theta, create_graph=True)[0]
        total = total + likelihood.nll(theta[None], meta.shared, [task.query]).sum()
    return torch.autograd.grad(total, phi)[0]


@pytest.mark.parametrize("log_variance", [math.inf, 600.0])
def test_sigma_maml_with_infinite_variance_is_maml(log_variance: float) -> None:
    likelihood = likelihood_of(Net(), regression_loss)
    tasks = [regression_task(1), regression_task(2)]
    meta = meta_of(likelihood, torch.full((4,), log_variance))
    actual = run(Unrolled(), likelihood, meta, tasks, 4, 0.01).gradient
    torch.testing.assert_close(
        actual["adapted"], reference_maml(likelihood, meta, tasks, 4, 0.01), atol=1e-12, rtol=1e-12
    )
    assert actual["log_variances"].abs().max() < 1e-200


def test_sigma_reptile_with_a_constant_variance_moves_like_reptile() -> None:
    """From the same solutions, Reptile moves φ by the sum of φ - θ̂, and σ-Reptile by this sum divided by σ²."""
    likelihood = likelihood_of(Net(), regression_loss)
    variance, tasks = 0.2, [regression_task(1), regression_task(2)]
    meta = meta_of(likelihood, torch.full((4,), math.log(variance), dtype=torch.float64))
    shrinkage = run(ShrinkageReptile(), likelihood, meta, tasks, 30, 0.01).gradient["adapted"]
    without_query = [replace(task, query=(task.query[0][:0], task.query[1][:0])) for task in tasks]
    reptile = run(Reptile(), likelihood, meta, without_query, 30, 0.01).gradient["adapted"]
    torch.testing.assert_close(shrinkage * variance, reptile, atol=1e-12, rtol=1e-12)


def test_reptile_adapts_on_support_and_query_together() -> None:
    likelihood = likelihood_of(Net(), regression_loss)
    task, meta = regression_task(1), meta_of(likelihood, torch.full((4,), math.inf))
    both = Task(tuple(torch.cat([a, b]) for a, b in zip(task.support, task.query, strict=True)), task.query)
    estimator = Unrolled(order=1)
    expected = run(estimator, likelihood, meta, [both], 5, 0.01).loss_after
    torch.testing.assert_close(run(Reptile(), likelihood, meta, [task], 5, 0.01).loss_after, expected)


def test_first_order_is_the_query_gradient_at_the_solution() -> None:
    likelihood = likelihood_of(Net(), regression_loss)
    task, meta = regression_task(1), meta_of(likelihood, torch.full((4,), math.inf))
    theta = meta.adapted.clone()
    for _ in range(5):
        point = theta.requires_grad_()
        value = likelihood.nll(point[None], meta.shared, [task.support]).sum()
        theta = (point - 0.01 * torch.autograd.grad(value, point)[0]).detach()
    point = theta.requires_grad_()
    expected = torch.autograd.grad(likelihood.nll(point[None], meta.shared, [task.query]).sum(), point)[0]
    actual = run(Unrolled(order=1), likelihood, meta, [task], 5, 0.01).gradient["adapted"]
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_step_weights_weight_the_gradients_after_each_step(order: Literal[1, 2]) -> None:
    likelihood = likelihood_of(Net(), regression_loss)
    tasks, meta = [regression_task(1)], meta_of(likelihood, torch.full((4,), math.inf))
    weights = (0.2, 0.3, 0.5)
    actual = run(Unrolled(order, weights), likelihood, meta, tasks, 3, 0.01).gradient["adapted"]
    single = [run(Unrolled(order), likelihood, meta, tasks, steps, 0.01).gradient["adapted"] for steps in (1, 2, 3)]
    expected = sum((w * gradient for w, gradient in zip(weights, single, strict=True)), torch.zeros_like(actual))
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [Implicit, Unrolled, ShrinkageReptile])
def test_a_vanishing_variance_freezes_a_module_without_overflow(dtype: torch.dtype, make: type) -> None:
    net, tasks = Net(dtype), [regression_task(1, dtype), regression_task(2, dtype)]
    complete, without = (
        likelihood_of(net, regression_loss),
        likelihood_of(net, regression_loss, ("context", "first", "head")),
    )
    variances = torch.tensor([-2.0, -2.0, -40.0, -2.0], dtype=dtype)
    rate = torch.tensor(0.01, dtype=dtype)

    def gradient(likelihood: Likelihood, values: Tensor):
        meta = MetaParams(
            parameter_vector(net, likelihood.adapted), parameter_vector(net, likelihood.shared), values, rate
        )
        exact = Implicit(ConjugateGradient(200, 1e-10))
        estimator = {Implicit: exact, Unrolled: Unrolled(), ShrinkageReptile: ShrinkageReptile(exact)}[make]
        # After enough steps, σ-Reptile's (φ - θ̂)/σ² (the gradient before the last step) equals that after it.
        return estimator(likelihood, meta, tasks, descent(likelihood, 3000 if make is ShrinkageReptile else 20, 0.01))

    frozen, shared = gradient(complete, variances), gradient(without, variances[[0, 1, 3]])
    assert frozen.finite
    torch.testing.assert_close(frozen.loss_after, shared.loss_after)
    names = ("second.weight", "second.bias")
    actual = complete.adapted.unflatten(frozen.gradient["adapted"])
    expected = without.shared.unflatten(shared.gradient["shared"])
    tolerance = 2e-3 if dtype == torch.float32 else 1e-7
    for name in names:
        torch.testing.assert_close(actual[name], expected[name], atol=tolerance, rtol=tolerance)
    assert frozen.gradient["log_variances"][2].abs() < 1e-6
