"""The shrinkage prior: its density, its proximal step, and its behaviour at extreme variances."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Exponential, HalfCauchy, Normal
from toy_domains import Blocks, modules_of

from tts_meta.errors import TtsMetaError
from tts_meta.meta import ParameterLayout, ShrinkagePrior
from tts_meta.meta.prior import (
    MAX_LOG_VARIANCE,
    MIN_LOG_VARIANCE,
    HyperpriorName,
    hyperprior_nll,
    proximal_step,
)

LAYOUT = ParameterLayout.from_modules(Blocks(), modules_of(Blocks()))
log_variances = st.lists(st.floats(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE), min_size=3, max_size=3)
EXTREMES = [MIN_LOG_VARIANCE, 0.0, MAX_LOG_VARIANCE, math.inf]


def prior_of(values: list[float], dtype: torch.dtype = torch.float64) -> ShrinkagePrior:
    return ShrinkagePrior(LAYOUT, torch.tensor(values, dtype=dtype))


def random_displacements(rows: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, LAYOUT.size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(log_variances, st.integers(0, 99))
@settings(max_examples=100)
def test_the_penalty_is_the_normal_log_density_but_for_its_constant(values: list[float], seed: int) -> None:
    prior = prior_of(values)
    # In units of σ; otherwise differences of densities lose all digits.
    delta = random_displacements(3, seed) * prior.standard_deviation()
    normal = Normal(torch.zeros(LAYOUT.size, dtype=torch.float64), prior.standard_deviation())
    at_centre = normal.log_prob(torch.zeros_like(delta)).sum(-1)
    torch.testing.assert_close(prior.penalty(delta), at_centre - normal.log_prob(delta).sum(-1), atol=1e-9, rtol=1e-9)


def test_the_penalty_is_differentiable_in_the_log_variances() -> None:
    values = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    delta = random_displacements(2)
    penalty = ShrinkagePrior(LAYOUT, values).penalty(delta)
    gradient = torch.autograd.grad(penalty.sum(), values)[0]
    expected = -0.5 * LAYOUT.sum_modules(delta.square()).sum(0) * torch.exp(-values.detach())
    torch.testing.assert_close(gradient, expected)


@given(log_variances, st.floats(-20, 10), st.integers(0, 99))
@settings(max_examples=200)
def test_the_proximal_step_is_stationary_at_any_variance_and_step_size(
    values: list[float], log_rate: float, seed: int
) -> None:
    """(δ - δ')/η + δ/σ² = 0, the slope of ‖δ - δ'‖²/2η + ‖δ‖²/2σ², up to the rounding of its two terms."""
    prior, rate, before = prior_of(values), math.exp(log_rate), random_displacements(2, seed)
    after = proximal_step(before, rate, prior.precision())
    slope = (after - before) / rate + after * prior.precision()
    size = (after - before).abs() / rate + (after * prior.precision()).abs() + before.abs() / rate
    assert bool((slope.abs() <= 1e-12 * size).all())


@given(st.floats(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE), st.integers(0, 99))
@settings(max_examples=50)
def test_step_sizes_can_differ_between_parameters(value: float, seed: int) -> None:
    rates = random_displacements(1, seed)[0].exp()
    before, precision = random_displacements(2, seed + 1), prior_of([value] * 3).precision()
    actual = proximal_step(before, rates, precision)
    one_by_one = [proximal_step(before[:, i], float(rates[i]), precision[i]) for i in range(LAYOUT.size)]
    torch.testing.assert_close(actual, torch.stack(one_by_one, -1), atol=0, rtol=1e-14)


def test_without_a_prior_the_proximal_step_is_the_identity() -> None:
    before = random_displacements(2)
    free = prior_of([math.inf] * 3)
    assert free.is_absent and not free.is_proper
    assert torch.equal(proximal_step(before, 0.1, free.precision()), before)
    assert torch.equal(proximal_step(before, 0.1, None), before)
    assert not free.penalty(before).any()


def test_one_free_module_makes_a_prior_improper_but_not_absent() -> None:
    prior = prior_of([0.0, math.inf, 0.0])
    assert not prior.is_proper and not prior.is_absent
    assert prior_of([0.0, 20.0, -40.0]).is_proper


def test_each_parameter_has_the_sigma_and_precision_of_its_module() -> None:
    prior = prior_of([math.log(0.25), math.log(4.0), math.inf])
    expected = [0.5, 0.5, 2.0, 2.0, 2.0, math.inf, math.inf]
    assert prior.standard_deviation().tolist() == pytest.approx(expected)
    assert prior.precision().tolist() == pytest.approx([sigma**-2 for sigma in expected])


@pytest.mark.parametrize("value", EXTREMES)
@pytest.mark.parametrize("rate", [1e-6, 1.0, 1e3])
def test_nothing_overflows_in_single_precision(value: float, rate: float) -> None:
    prior, before = prior_of([value] * 3, torch.float32), random_displacements(2, dtype=torch.float32)
    after = proximal_step(before, rate, prior.precision())
    assert bool(prior.precision().isfinite().all()) and bool(after.isfinite().all())
    assert bool(prior.penalty(before).isfinite().all()) and bool(prior.penalty(after).isfinite().all())
    # The implicit gradient multiplies by σ and by its inverse.
    if math.isfinite(value):
        assert bool(prior.standard_deviation().isfinite().all()) and bool(
            (1 / prior.standard_deviation()).isfinite().all()
        )
    if value == MIN_LOG_VARIANCE:
        assert float(after.abs().max()) < 1e-10
    if value == math.inf:
        assert torch.equal(after, before)


@pytest.mark.parametrize("kind", get_args(HyperpriorName))
def test_no_hyperprior_overflows_within_the_bounds_of_learned_variances(kind: HyperpriorName) -> None:
    values = torch.tensor([MIN_LOG_VARIANCE, 0.0, MAX_LOG_VARIANCE], requires_grad=True)
    nll = hyperprior_nll(values, kind)
    gradient = torch.autograd.grad(nll, values)[0]
    assert bool(nll.isfinite()) and bool(gradient.isfinite().all())


@given(log_variances, st.floats(0.01, 100.0))
@settings(max_examples=100)
def test_hyperpriors_are_torchs_densities_of_sigma_but_for_their_constants(values: list[float], scale: float) -> None:
    point = torch.tensor(values, dtype=torch.float64)
    sigma, ones = torch.exp(0.5 * point), torch.ones(3, dtype=torch.float64)
    size = torch.tensor(scale, dtype=torch.float64)
    densities = {"half-cauchy": HalfCauchy(size), "exponential": Exponential(1 / size)}
    for kind in ("half-cauchy", "exponential"):
        actual = hyperprior_nll(point, kind, scale) - hyperprior_nll(torch.zeros_like(point), kind, scale)
        expected = (densities[kind].log_prob(ones) - densities[kind].log_prob(sigma)).sum()
        torch.testing.assert_close(actual, expected, atol=1e-9, rtol=1e-9)


def test_a_flat_hyperprior_has_no_gradient() -> None:
    values = torch.tensor([-3.0, 0.0, 5.0], requires_grad=True)
    nll = hyperprior_nll(values, "flat")
    assert nll.item() == 0 and not torch.autograd.grad(nll, values)[0].any()


def test_an_unknown_hyperprior_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(TtsMetaError, match="no hyperprior 'cauchy'; known: flat, half-cauchy, exponential"):
        hyperprior_nll(torch.zeros(1), "cauchy")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_a_variance_that_is_not_positive_is_refused_with_the_name_of_its_module(variance: float) -> None:
    with pytest.raises(TtsMetaError, match="the prior variance of 'b' must be positive"):
        ShrinkagePrior(LAYOUT, torch.tensor([1.0, variance, 2.0]).log())
    with pytest.raises(TtsMetaError, match=f"the prior variance must be positive, not {variance}"):
        ShrinkagePrior.isotropic(LAYOUT, variance)


def test_there_must_be_one_variance_per_module() -> None:
    with pytest.raises(TtsMetaError, match=r"the log variances of 3 modules must have the shape \(3,\), not \(2,\)"):
        ShrinkagePrior(LAYOUT, torch.zeros(2))


@pytest.mark.parametrize("variance", [1e-3, 1.0, math.inf])
def test_an_isotropic_prior_has_the_same_variance_for_all_modules(variance: float) -> None:
    prior = ShrinkagePrior.isotropic(LAYOUT, variance)
    assert prior.precision().tolist() == pytest.approx([1 / variance] * LAYOUT.size)
