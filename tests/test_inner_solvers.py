"""Inner solvers: agreement with torch's optimisers, the MAP as fixed point, and the effect of the variance."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toy_losses import CENTRES, CURVATURE, FREE, LAYOUT, META, SOLVERS, bowl, displaced, prior_of, wavy

from tts_meta.meta import Adam, GradientDescent, ShrinkagePrior, run_inner_loop
from tts_meta.meta.solvers.inner_solvers import InnerSolver, StepSize


@pytest.mark.parametrize("rate", [1e-3, 0.1])
def test_without_a_prior_adam_is_torchs_adam(rate: float) -> None:
    solver = Adam()
    reference = META.clone().requires_grad_()
    adam = torch.optim.Adam([reference], rate, (solver.beta_first, solver.beta_second), solver.epsilon)
    for step in range(50):
        adam.zero_grad()
        wavy(reference[None], step).sum().backward()
        adam.step()
    delta, _ = displaced(wavy, FREE, solver, rate, 50)
    torch.testing.assert_close(META + delta[0], reference.detach(), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("rates", [0.02, *(torch.full(shape, 0.02, dtype=torch.float64) for shape in ((), (7,)))])
def test_without_a_prior_gradient_descent_is_torchs_sgd(rates: StepSize) -> None:
    reference = META.clone().requires_grad_()
    descent = torch.optim.SGD([reference], 0.02)
    for step in range(50):
        descent.zero_grad()
        wavy(reference[None], step).sum().backward()
        descent.step()
    path, _ = run_inner_loop(wavy, META, FREE, GradientDescent(), lambda step: rates, 50)
    delta = path[-1]
    torch.testing.assert_close(META + delta[0], reference.detach(), atol=1e-12, rtol=1e-12)


@given(st.lists(st.floats(-30, 20), min_size=3, max_size=3))
@settings(max_examples=15)
def test_gradient_descent_converges_to_the_maximum_a_posteriori_for_any_variances(values: list[float]) -> None:
    prior = ShrinkagePrior(LAYOUT, torch.tensor(values, dtype=torch.float64))
    delta, _ = displaced(bowl, prior, GradientDescent(), 0.09, 800, tasks=3)
    expected = CURVATURE * (CENTRES - META) / (CURVATURE + prior.precision())
    torch.testing.assert_close(delta, expected, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("variances", [(1.0, 1.0, 1.0), (0.01, 100.0, 1.0), (5.0, 1e-3, math.inf)])
def test_adam_converges_to_the_maximum_a_posteriori(variances: tuple[float, ...]) -> None:
    prior = prior_of(*variances)
    delta, _ = displaced(bowl, prior, Adam(), 0.02, 1500, tasks=3)
    expected = CURVATURE * (CENTRES - META) / (CURVATURE + prior.precision())
    torch.testing.assert_close(delta, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("log_variance", [-18.0, -40.0])
def test_a_tiny_variance_freezes_one_module_while_another_is_free(solver: InnerSolver, log_variance: float) -> None:
    values = torch.tensor([log_variance, math.inf, 0.0], dtype=torch.float64)
    delta, trace = displaced(bowl, ShrinkagePrior(LAYOUT, values), solver, 0.05, 300, tasks=3)
    frozen = math.exp(log_variance) * CURVATURE * (CENTRES - META)  # σ² times the likelihood's gradient
    torch.testing.assert_close(delta[:, :2], frozen[:, :2], atol=0, rtol=1e-6)
    torch.testing.assert_close(META[2:5] + delta[:, 2:5], CENTRES[:, 2:5], atol=0.05, rtol=0)
    assert bool(trace.losses.isfinite().all())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_smaller_variance_keeps_the_solution_closer(solver: InnerSolver) -> None:
    variances = (100.0, 1.0, 0.1, 1e-2, 1e-4, 1e-8)
    moved = [float(displaced(bowl, prior_of(v, v, v), solver, 0.02, 400)[0].norm()) for v in variances]
    assert moved == sorted(moved, reverse=True) and moved[0] > 1.0 and moved[-1] < 1e-5


@pytest.mark.parametrize("variance", [1e-8, 1.0, math.inf])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_parameter_without_a_gradient_does_not_move(solver: InnerSolver, variance: float) -> None:
    def only_the_first(params: Tensor, step: int) -> Tensor:
        return params[:, :2].square().sum(-1)

    delta, _ = displaced(only_the_first, prior_of(math.inf, variance, variance), solver, 0.1, 10)
    assert not delta[:, 2:].any() and bool(delta[:, :2].all())
