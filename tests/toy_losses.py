"""Losses of seven parameters, and one run of the inner loop on them, for the tests of inner solvers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor
from toy_domains import Blocks, modules_of

from tts_meta.meta import Adam, GradientDescent, ParameterLayout, ShrinkagePrior, Trace, run_inner_loop
from tts_meta.meta.solvers.inner_solvers import InnerSolver

LAYOUT = ParameterLayout.from_modules(Blocks(), modules_of(Blocks()))
META = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -1.0, 0.2], dtype=torch.float64)
CENTRES = torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
CURVATURE = torch.tensor([4.0, 0.3, 20.0, 1.0, 0.5, 2.0, 8.0], dtype=torch.float64)
FREE = ShrinkagePrior(LAYOUT, torch.full((3,), math.inf, dtype=torch.float64))
SOLVERS = [pytest.param(GradientDescent(), id="gd"), pytest.param(Adam(), id="adam")]


def bowl(params: Tensor, step: int = 0) -> Tensor:
    """-log p(data_t | θ) = Σ h (θ - c_t)² / 2."""
    return (0.5 * CURVATURE * (params - CENTRES[: len(params)]) ** 2).sum(-1)


def wavy(params: Tensor, step: int = 0) -> Tensor:
    """A likelihood whose Hessian depends on θ, and whose gradient depends on the step."""
    return bowl(params) + params.sin().prod(-1) + 0.3 * (params * math.sin(step)).sum(-1)


def prior_of(*variances: float) -> ShrinkagePrior:
    return ShrinkagePrior(LAYOUT, torch.tensor(variances, dtype=torch.float64).log())


def displaced(
    nll: Callable[[Tensor, int], Tensor],
    prior: ShrinkagePrior,
    solver: InnerSolver,
    rate: float,
    steps: int,
    tasks: int = 1,
    order: Literal[0, 1, 2] = 0,
) -> tuple[Tensor, Trace]:
    """The last δ `(T, P)` and the losses."""
    path, trace = run_inner_loop(nll, META, prior, solver, lambda step: rate, steps, tasks, order)
    return path[-1] if order == 0 else path[-1] - META, trace
