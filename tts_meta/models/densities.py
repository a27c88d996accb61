"""`Density`: a density of the errors of predictions, with its negative logarithm and its curvature.

Pretraining and evaluation use Laplace densities. Adaptation and meta-training use hyperbolic secant densities: they
have the same tails, and second derivatives everywhere. A Laplace density has none where the error is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Density:
    """A density of an error, symmetric about zero.

    nll: maps z = r / b to -log p of the error r, apart from log b, for a scale b. curvature: maps z to the curvature of
    Gauss-Newton products times b². It is positive. It is the second derivative of `nll` if that is positive everywhere,
    and its mean under the density, the Fisher information, otherwise.
    """

    name: str
    nll: Callable[[Tensor], Tensor]
    curvature: Callable[[Tensor], Tensor]


def _hyperbolic_secant_nll(z: Tensor) -> Tensor:
    """Return log cosh z + log π, with log cosh z = |z| + log(1 + exp(-2|z|)) - log 2."""
    size = z.abs()
    return size + nn.functional.softplus(-2 * size) + math.log(math.pi / 2)


LAPLACE = Density("laplace", lambda z: z.abs() + math.log(2), lambda z: z.new_ones(z.shape))
"""The Laplace density of scale b. Its Fisher information is 1 / b²."""

HYPERBOLIC_SECANT = Density("hyperbolic-secant", _hyperbolic_secant_nll, lambda z: 1 - z.tanh().square())
"""The density 1 / (π b cosh(r/b)). Far from zero its slope is that of a Laplace density of scale b."""
