from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from tts_meta.errors import TtsMetaError
from tts_meta.meta import ProximalAdam, ShrinkagePrior, solve
from tts_meta.meta.prior import Params

META: Params = {"a": torch.tensor([1.0, -2.0]), "b": torch.tensor([[0.5]])}
CENTRE: Params = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[-1.0]])}
CURVATURE: Params = {"a": torch.tensor([4.0, 0.3]), "b": torch.tensor([[20.0]])}


def quadratic(params: Params, step: int = 0) -> Tensor:
    """-log p(data | θ) = Σ h (θ - c)² / 2, scaled by h alone."""
    return torch.stack([(0.5 * CURVATURE[n] * (v - CENTRE[n]) ** 2).sum() for n, v in params.items()]).sum()


def maximum_a_posteriori(variances: dict[str, float]) -> Params:
    """The closed form: precision-weighted mean of the data's centre and φ."""
    return {
        name: (CURVATURE[name] * CENTRE[name] + META[name] / variance) / (CURVATURE[name] + 1 / variance)
        for name, variance in variances.items()
    }


@pytest.mark.parametrize("learning_rate", [1e-3, 0.1])
def test_without_a_prior_it_is_torchs_adam(learning_rate: float) -> None:
    solver = ProximalAdam(learning_rate)
    reference = {name: value.clone().requires_grad_() for name, value in META.items()}
    betas = (solver.beta_first, solver.beta_second)
    adam = torch.optim.Adam(list(reference.values()), lr=learning_rate, betas=betas, eps=solver.epsilon)

    def wavy(params: Params, step: int) -> Tensor:
        return quadratic(params) + (params["a"] * math.sin(step)).sum()

    for step in range(50):
        adam.zero_grad()
        wavy(reference, step).backward()
        adam.step()
    params, _ = solve(wavy, META, ShrinkagePrior.isotropic(("a", "b"), math.inf), solver, 50)
    for name, value in params.items():
        torch.testing.assert_close(value, reference[name].detach(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("variances", [{"a": 1.0, "b": 1.0}, {"a": 0.01, "b": 100.0}, {"a": 5.0, "b": 1e-3}])
def test_it_settles_at_the_maximum_a_posteriori(variances: dict[str, float]) -> None:
    params, _ = solve(quadratic, META, ShrinkagePrior(variances), ProximalAdam(0.02), 1200)
    for name, value in maximum_a_posteriori(variances).items():
        torch.testing.assert_close(params[name], value, atol=2e-3, rtol=0)


def test_large_epsilon_makes_it_proximal_gradient_descent() -> None:
    """With ε far above the gradients and no momentum, the step size of gradient and prior is η/ε."""
    epsilon, rate = 1e6, 0.02
    solver = ProximalAdam(rate * epsilon, beta_first=0.0, epsilon=epsilon)
    variances = {"a": 0.5, "b": 2.0}
    params, _ = solve(quadratic, META, ShrinkagePrior(variances), solver, 30)
    expected = dict(META)
    for _ in range(30):
        for name, variance in variances.items():
            moved = expected[name] - rate * CURVATURE[name] * (expected[name] - CENTRE[name])
            expected[name] = (moved + rate / variance * META[name]) / (1 + rate / variance)
    for name in expected:
        torch.testing.assert_close(params[name], expected[name], atol=1e-4, rtol=1e-4)


def test_a_smaller_variance_keeps_the_solution_closer() -> None:
    moved = []
    for variance in (100.0, 1.0, 0.1, 1e-2, 1e-4, 1e-8):
        params, _ = solve(quadratic, META, ShrinkagePrior.isotropic(("a", "b"), variance), ProximalAdam(0.01), 400)
        moved.append(float(sum((params[name] - META[name]).square().sum() for name in META)))
    assert moved == sorted(moved, reverse=True) and moved[0] > 1.0 and moved[-1] < 1e-10


@pytest.mark.parametrize("learning_rate", [1e-3, 1.0])
def test_a_tiny_variance_freezes_a_module_and_leaves_the_other_free(learning_rate: float) -> None:
    prior = ShrinkagePrior({"a": 1e-8, "b": math.inf})
    params, trace = solve(quadratic, META, prior, ProximalAdam(learning_rate), 300)
    torch.testing.assert_close(params["a"], META["a"], atol=1e-6, rtol=0)
    assert float((params["b"] - META["b"]).abs()) > 0.2
    assert all(math.isfinite(value) for value in trace.losses)


def test_a_parameter_without_a_gradient_stays_where_it_is() -> None:
    def only_a(params: Params, step: int) -> Tensor:
        return (params["a"] ** 2).sum()

    for variance in (1e-8, 1.0, math.inf):
        params, _ = solve(only_a, META, ShrinkagePrior.isotropic(("a", "b"), variance), ProximalAdam(0.1), 10)
        assert torch.equal(params["b"], META["b"])


def test_nothing_given_is_changed_and_every_step_is_reported() -> None:
    before = {name: value.clone() for name, value in META.items()}
    seen: list[tuple[int, float]] = []
    prior = ShrinkagePrior.isotropic(("a", "b"), 1.0)
    params, trace = solve(quadratic, META, prior, ProximalAdam(), 5, lambda step, at, loss: seen.append((step, loss)))
    assert all(torch.equal(META[name], before[name]) and not META[name].requires_grad for name in META)
    assert seen == list(zip(range(1, 6), trace.losses, strict=True))
    assert trace.losses[0] == pytest.approx(float(quadratic(META))) and trace.losses[-1] < trace.losses[0]
    assert not any(value.requires_grad for value in params.values())


def test_no_steps_give_the_meta_parameters_back() -> None:
    params, trace = solve(quadratic, META, ShrinkagePrior.isotropic(("a", "b"), 1.0), ProximalAdam(), 0)
    assert trace.losses == [] and all(torch.equal(params[name], META[name]) for name in META)
    assert all(params[name] is not META[name] for name in META)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_stops_being_finite_is_an_error_that_names_the_step(bad: float) -> None:
    def breaks(params: Params, step: int) -> Tensor:
        return quadratic(params) * (bad if step == 3 else 1.0)

    with pytest.raises(TtsMetaError, match="not finite after 3 steps; lower the learning rate"):
        solve(breaks, META, ShrinkagePrior.isotropic(("a", "b"), 1.0), ProximalAdam(), 10)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_a_variance_that_is_not_positive_is_refused_by_the_name_of_its_parameter(variance: float) -> None:
    with pytest.raises(TtsMetaError, match="prior variance of 'b' must be positive"):
        ShrinkagePrior({"a": 1.0, "b": variance})


def test_the_penalty_is_the_normal_density_but_for_its_constant() -> None:
    variances = {"a": 0.3, "b": 7.0}
    prior = ShrinkagePrior(variances)

    def log_density(params: Params) -> Tensor:
        terms = [Normal(META[n], math.sqrt(v)).log_prob(params[n]).sum() for n, v in variances.items()]
        return torch.stack(terms).sum()

    difference = log_density(META) - log_density(CENTRE)
    torch.testing.assert_close(prior.penalty(CENTRE, META), difference)
    assert float(prior.penalty(META, META)) == 0.0
    assert float(ShrinkagePrior.isotropic(("a", "b"), math.inf).penalty(CENTRE, META)) == 0.0


@given(st.floats(1e-8, 1e4), st.floats(1e-6, 1e2))
@settings(max_examples=50)
def test_the_proximal_step_minimises_distance_and_penalty(variance: float, step_size: float) -> None:
    prior = ShrinkagePrior.isotropic(("a", "b"), variance)
    start = {name: value.double() for name, value in CENTRE.items()}
    meta = {name: value.double() for name, value in META.items()}
    for name, before in start.items():
        step = torch.full_like(before, step_size)
        value = prior.proximal_(name, before.clone(), meta[name], step)
        # Stationary: (θ - θ') / η + (θ - φ) / σ² = 0.
        slope = (value - before) / step_size + (value - meta[name]) / variance
        assert float(slope.abs().max()) <= 1e-6 * (1 / step_size + 1 / variance)
