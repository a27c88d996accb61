"""Densities of errors: they integrate to one, agree with `torch.distributions`, and their curvature is exact."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Laplace, Normal, StudentT

from recipes.meta_cost.densities import compared_densities, gaussian, laplace_factor, rescaled, student_t
from tts_meta.models.densities import HYPERBOLIC_SECANT, LAPLACE, Density

DENSITIES = [student_t(3), gaussian(), *compared_densities()]
LOG_CONCAVE = [HYPERBOLIC_SECANT, gaussian(), rescaled(HYPERBOLIC_SECANT, 0.7, "narrow")]
each_density = pytest.mark.parametrize("density", DENSITIES, ids=lambda density: density.name)


def errors_and_weights(points: int = 200_000) -> tuple[Tensor, Tensor]:
    """Errors tan θ from minus to plus infinity, and weights of an integral over the errors."""
    angle = math.pi * ((torch.arange(points, dtype=torch.float64) + 0.5) / points - 0.5)
    return angle.tan(), math.pi / points / angle.cos().square()


def slopes(density: Density, errors: Tensor) -> Tensor:
    leaf = errors.clone().requires_grad_()
    return torch.autograd.grad(density.nll(leaf).sum(), leaf, create_graph=True)[0]


@each_density
def test_a_density_integrates_to_one(density: Density) -> None:
    errors, weights = errors_and_weights()
    assert float((weights * torch.exp(-density.nll(errors))).sum()) == pytest.approx(1, abs=1e-5)


@each_density
def test_the_gradient_is_that_of_finite_differences_and_odd(density: Density) -> None:
    errors = torch.tensor([-7.0, -1.3, -0.2, 0.4, 2.5, 30.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(density.nll, errors)
    torch.testing.assert_close(density.nll(errors), density.nll(-errors))


@each_density
def test_the_mean_curvature_is_the_fisher_information(density: Density) -> None:
    errors, weights = errors_and_weights()
    probability = weights * torch.exp(-density.nll(errors))
    fisher = float((probability * slopes(density, errors).detach().square()).sum())
    assert float((probability * density.curvature(errors)).sum()) == pytest.approx(fisher, rel=1e-4)
    assert bool((density.curvature(errors[errors.abs() < 8]) > 0).all())


@pytest.mark.parametrize("density", LOG_CONCAVE, ids=lambda density: density.name)
def test_the_curvature_of_a_smooth_log_concave_density_is_the_second_derivative(density: Density) -> None:
    errors = torch.linspace(-4, 4, 81, dtype=torch.float64)
    step = 1e-4
    difference = (slopes(density, errors + step) - slopes(density, errors - step)).detach() / (2 * step)
    torch.testing.assert_close(density.curvature(errors), difference, atol=1e-6, rtol=1e-5)


def test_student_t_is_not_log_concave() -> None:
    step, density = 1e-4, student_t(3)
    errors = torch.tensor([0.0, 10.0], dtype=torch.float64)
    second = (slopes(density, errors + step) - slopes(density, errors - step)).detach()
    assert second[0] > 0 > second[1] and bool((density.curvature(errors) > 0).all())


@pytest.mark.parametrize(
    ("density", "expected"),
    [(LAPLACE, Laplace(0.0, 1.0)), (student_t(3), StudentT(3.0)), (gaussian(), Normal(0.0, 1.0))],
)
def test_the_densities_are_those_of_torch(density: Density, expected: Distribution) -> None:
    errors = torch.linspace(-9, 9, 37)
    torch.testing.assert_close(density.nll(errors), -expected.log_prob(errors))


def test_the_fitted_scales_are_those_of_laplace_errors() -> None:
    assert laplace_factor(LAPLACE) == pytest.approx(1, rel=1e-5)  # the mean absolute error
    assert laplace_factor(gaussian()) == pytest.approx(math.sqrt(2), rel=1e-5)  # the root mean square error
    generator = torch.Generator().manual_seed(0)
    errors = -torch.rand(200_000, generator=generator, dtype=torch.float64).log()
    for density in (HYPERBOLIC_SECANT, student_t(3), student_t(8)):
        factor = laplace_factor(density)

        def mean(scale: float, density: Density = density) -> float:
            return float(density.nll(errors / scale).mean()) + math.log(scale)

        assert mean(factor) < min(mean(1.1 * factor), mean(factor / 1.1))
