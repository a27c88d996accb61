"""Densities that `likelihoods.py` compares with those of the library: Student-t, Gaussian, and changes of scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tts_meta.models.densities import HYPERBOLIC_SECANT, LAPLACE, Density

LARGEST, POINTS = 60.0, 60_001
"""Largest error in units of the scale, and number of points, of the integrals over Laplace errors."""


def student_t(freedom: float) -> Density:
    """Return Student's t density of scale b.

    Its negative logarithm has negative second derivatives at large errors, so its curvature is the Fisher information,
    (ν + 1) / ((ν + 3) b²), for ν degrees of freedom (Lange, Little and Taylor 1989).
    """
    constant = 0.5 * math.log(freedom * math.pi) + math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2)

    def nll(z: Tensor) -> Tensor:
        return 0.5 * (freedom + 1) * torch.log1p(z.square() / freedom) + constant

    return Density(f"student-t {freedom:g}", nll, lambda z: torch.full_like(z, (freedom + 1) / (freedom + 3)))


def gaussian() -> Density:
    """Return the Gaussian density of standard deviation b."""
    constant = 0.5 * math.log(2 * math.pi)
    return Density("gaussian", lambda z: 0.5 * z.square() + constant, torch.ones_like)


def rescaled(density: Density, factor: float, name: str) -> Density:
    """Return the density with the scale `factor` times b."""
    return Density(
        name,
        lambda z: density.nll(z / factor) + math.log(factor),
        lambda z: density.curvature(z / factor) / factor**2,
    )


def laplace_factor(density: Density) -> float:
    """Return the factor of the scale b with the highest mean likelihood of errors of a Laplace density of scale b.

    The base has scales of Laplace densities. The slope of the mean -log p in the logarithm of the factor crosses zero
    once, and is found by bisection.
    """
    z = torch.linspace(0, LARGEST, POINTS, dtype=torch.float64)
    weights = torch.exp(-z)
    weights[[0, -1]] /= 2
    weights /= weights.sum()
    low, high = -3.0, 3.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        leaf = torch.tensor(middle, dtype=torch.float64, requires_grad=True)
        mean = (weights * density.nll(z * torch.exp(-leaf))).sum() + leaf
        slope = torch.autograd.grad(mean, leaf)[0]
        low, high = (middle, high) if slope < 0 else (low, middle)
    return math.exp(low)


def compared_densities() -> list[Density]:
    """Return the densities of the comparison: the shipped one, then its rivals."""
    rivals = [
        (HYPERBOLIC_SECANT, "hyperbolic-secant, fitted scale"),
        *((d, d.name) for d in (student_t(3), student_t(8))),
    ]
    rivals.append((gaussian(), "gaussian"))
    return [HYPERBOLIC_SECANT, LAPLACE, *(rescaled(d, laplace_factor(d), name) for d, name in rivals)]
