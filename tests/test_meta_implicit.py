"""Implicit meta-gradients: closed forms, finite differences of the complete solve, and iMAML."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toy_domains import Blocks, Net, likelihood_of, quadratic_loss, quadratic_task, regression_loss, regression_task
from toy_gradients import EXACT, closed_form, maximum_a_posteriori, meta_of

from tts_meta.meta import (
    Implicit,
    Likelihood,
    MetaParams,
    Neumann,
    Task,
)
from tts_meta.meta.solvers.hvp import HessianName


def total_query(likelihood: Likelihood, meta: MetaParams, tasks: list[Task]) -> Tensor:
    delta = maximum_a_posteriori(likelihood, meta, tasks)
    return likelihood.nll(meta.adapted + delta, meta.shared, [task.query for task in tasks]).sum()


@pytest.mark.parametrize("adapted", [None, ("a", "c"), ("b",)])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("linear", [EXACT, Neumann(20000, 1e-12)], ids=["cg", "neumann"])
@pytest.mark.parametrize("hessian", ["exact", "difference"])
def test_implicit_gradients_of_quadratic_losses_equal_the_closed_form(
    adapted: tuple[str, ...] | None, centred: bool, linear, hessian: HessianName
) -> None:
    likelihood = likelihood_of(Blocks(), quadratic_loss, adapted)
    meta = meta_of(likelihood, torch.tensor([-1.0, 0.5, -2.0])[: len(likelihood.adapted.modules)])
    adapts = torch.tensor([name in (adapted or ("a", "b", "c")) for name in "aabbbcc"])
    tasks = [quadratic_task(seed) for seed in range(3)]
    delta, expected = closed_form(likelihood, meta, tasks, adapts)
    actual = Implicit(linear, centred, hessian).at(likelihood, meta, tasks, delta)
    tolerance = 1e-8 if hessian == "exact" else 1e-5
    assert set(actual.gradient) == {"adapted", "shared", "log_variances"}, "the step sizes have no gradient"
    for name, gradient in actual.gradient.items():
        torch.testing.assert_close(gradient, getattr(expected, name), atol=tolerance, rtol=tolerance)
    assert actual.statistics["residual"].max() < 1e-8 and (actual.statistics["stationarity"] < tolerance).all()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("adapted", [None, ("first", "head", "context")])
def test_implicit_gradients_of_a_network_equal_finite_differences_of_the_complete_solve(
    adapted: tuple[str, ...] | None, centred: bool
) -> None:
    likelihood = likelihood_of(Net(), regression_loss, adapted)
    tasks = [regression_task(1), regression_task(2)]
    meta = meta_of(likelihood, torch.tensor([-2.0, -3.0, -1.5, -3.5])[: len(likelihood.adapted.modules)])
    delta = maximum_a_posteriori(likelihood, meta, tasks)
    actual = Implicit(EXACT, centred).at(likelihood, meta, tasks, delta)
    assert actual.statistics["stationarity"].max() < 1e-6
    generator = torch.Generator().manual_seed(0)
    for name in ("adapted", "shared", "log_variances"):
        value, gradient = getattr(meta, name), actual.gradient[name]
        directions = torch.eye(len(value), dtype=torch.float64)
        if name != "log_variances":
            directions = torch.randn(min(3, len(value)), len(value), generator=generator, dtype=torch.float64)
        for direction in directions:
            step = 1e-4
            ends = [
                total_query(likelihood, replace(meta, **{name: value + sign * step * direction}), tasks)
                for sign in (1, -1)
            ]
            expected = float((ends[0] - ends[1]) / (2 * step))
            assert float(gradient @ direction) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_sigma_imaml_with_one_common_variance_is_imaml() -> None:
    likelihood = likelihood_of(Net(), regression_loss)
    task, precision = regression_task(4), 8.0
    meta = meta_of(likelihood, torch.full((4,), -math.log(precision)))
    delta = maximum_a_posteriori(likelihood, meta, [task])
    theta = meta.adapted + delta[0]

    def support(point: Tensor) -> Tensor:
        return likelihood.nll(point[None], meta.shared, [task.support])[0]

    hessian = torch.autograd.functional.hessian(support, theta, vectorize=True)
    assert isinstance(hessian, Tensor)
    point = theta.clone().requires_grad_()
    g = torch.autograd.grad(likelihood.nll(point[None], meta.shared, [task.query])[0], point)[0]
    expected = torch.linalg.solve(torch.eye(len(theta), dtype=torch.float64) + hessian / precision, g)
    actual = Implicit(EXACT).at(likelihood, meta, [task], delta).gradient["adapted"]
    torch.testing.assert_close(actual, expected, atol=1e-8, rtol=1e-8)
