"""Linear solvers: their solutions, the reported residual, and the outcome of each row."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tts_meta.meta import ConjugateGradient, Neumann, Outcome, Solution
from tts_meta.meta.solvers.linear_solvers import LINEAR_SOLVERS, LinearSolver

SOLVER_NAMES = ["cg", "neumann"]


def solver_of(name: str, steps: int = 5000, tolerance: float = 1e-11) -> LinearSolver:
    return LINEAR_SOLVERS[name](steps, tolerance)


def positive_definite(rows: int, size: int, condition: float, seed: int) -> Tensor:
    """Random symmetric matrices `(rows, size, size)` with eigenvalues from 1 to `condition`."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.linalg.qr(torch.randn(rows, size, size, generator=generator, dtype=torch.float64)).Q
    values = condition ** torch.rand(rows, size, generator=generator, dtype=torch.float64)
    return base * values[:, None] @ base.mT


def random_b(rows: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def times(matrices: Tensor):
    return lambda v: (matrices @ v[..., None])[..., 0]


def true_residual(matrices: Tensor, b: Tensor, solution: Solution) -> Tensor:
    return (b - times(matrices)(solution.value)).norm(dim=-1) / b.norm(dim=-1)


@given(st.integers(1, 4), st.integers(1, 12), st.floats(1, 100), st.integers(0, 99), st.booleans(), st.booleans())
@pytest.mark.parametrize("name", SOLVER_NAMES)
@settings(max_examples=40)
def test_solutions_equal_those_of_dense_algebra(
    name: str, rows: int, size: int, condition: float, seed: int, preconditioned: bool, scaled: bool
) -> None:
    matrices, b = positive_definite(rows, size, condition, seed), random_b(rows, size, seed)
    diagonal = matrices.diagonal(dim1=-1, dim2=-2).mean(0) * (1e6 if scaled else 1)
    actual = solver_of(name)(times(matrices), b, 1 / diagonal if preconditioned else None)
    torch.testing.assert_close(actual.value, torch.linalg.solve(matrices, b), atol=1e-8, rtol=1e-8)
    assert actual.outcomes == (Outcome.CONVERGED,) * rows
    assert float(actual.residual.max()) <= 1e-11


@given(st.integers(1, 30), st.floats(1, 1e4), st.integers(0, 99), st.booleans())
@pytest.mark.parametrize("name", SOLVER_NAMES)
@settings(max_examples=40)
def test_the_reported_residual_and_outcome_are_true(
    name: str, steps: int, condition: float, seed: int, preconditioned: bool
) -> None:
    matrices, b = positive_definite(3, 15, condition, seed), random_b(3, 15, seed)
    diagonal = matrices.diagonal(dim1=-1, dim2=-2).mean(0)
    actual = solver_of(name, steps, 1e-6)(times(matrices), b, 1 / diagonal if preconditioned else None)
    expected = true_residual(matrices, b, actual)
    torch.testing.assert_close(actual.residual, expected, atol=1e-10, rtol=1e-6)
    ends = [Outcome.CONVERGED if size <= 1e-6 else Outcome.TRUNCATED for size in actual.residual.tolist()]
    assert list(actual.outcomes) == ends


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_too_few_steps_are_reported_as_truncated(name: str) -> None:
    matrices, b = positive_definite(2, 20, 1e4, 0), random_b(2, 20)
    actual = solver_of(name, 12, 1e-8)(times(matrices), b)
    assert actual.outcomes == (Outcome.TRUNCATED,) * 2 and actual.steps == 12
    assert float(actual.residual.min()) > 1e-8


def test_conjugate_gradient_needs_as_many_products_as_there_are_eigenvalues() -> None:
    matrices, b = positive_definite(1, 30, 50.0, 0), random_b(1, 30)
    values, vectors = torch.linalg.eigh(matrices)
    few = vectors * values.clamp(max=3).round()[:, None] @ vectors.mT  # eigenvalues 1, 2 and 3
    actual = ConjugateGradient(100, 1e-10)(times(few), b)
    assert actual.steps == 3 and actual.outcomes == (Outcome.CONVERGED,)


def test_a_good_preconditioner_saves_products() -> None:
    size = torch.logspace(0, 5, 40, dtype=torch.float64)
    matrices, b = torch.diag(size)[None] + 0.1 * positive_definite(1, 40, 10.0, 0), random_b(1, 40)
    without = ConjugateGradient(1000, 1e-8)(times(matrices), b)
    preconditioned = ConjugateGradient(1000, 1e-8)(times(matrices), b, 1 / size)
    assert preconditioned.steps < without.steps / 4
    torch.testing.assert_close(preconditioned.value, without.value, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_rows_are_solved_independently(name: str) -> None:
    """An easy row and a hard row together: the further steps of the hard row do not change the easy row."""
    easy, hard = torch.eye(12, dtype=torch.float64)[None] * 2, positive_definite(1, 12, 1e3, 3)
    matrices, b = torch.cat([easy, hard]), random_b(2, 12)
    together = solver_of(name, 60, 1e-9)(times(matrices), b)
    for row in range(2):
        alone = solver_of(name, 60, 1e-9)(times(matrices[row : row + 1]), b[row : row + 1])
        torch.testing.assert_close(together.value[row], alone.value[0], atol=1e-7, rtol=1e-7)
    assert together.outcomes[0] == Outcome.CONVERGED


def test_a_converged_row_does_not_reduce_the_accuracy_of_another() -> None:
    matrices = torch.cat([positive_definite(1, 10, 1.0, 0), positive_definite(1, 10, 1e3, 1)])
    actual = ConjugateGradient(200, 1e-12)(times(matrices), random_b(2, 10))
    torch.testing.assert_close(actual.value, torch.linalg.solve(matrices, random_b(2, 10)), atol=1e-9, rtol=1e-9)
    assert actual.outcomes == (Outcome.CONVERGED,) * 2


@pytest.mark.parametrize("preconditioned", [False, True])
def test_negative_curvature_at_the_first_step_gives_the_preconditioned_right_hand_side(preconditioned: bool) -> None:
    matrices, b = -positive_definite(2, 6, 10.0, 0), random_b(2, 6)
    scale = torch.linspace(0.5, 2, 6, dtype=torch.float64) if preconditioned else None
    actual = ConjugateGradient()(times(matrices), b, scale)
    assert actual.outcomes == (Outcome.NEGATIVE_CURVATURE,) * 2 and actual.steps == 1
    torch.testing.assert_close(actual.value, b if scale is None else scale * b)
    torch.testing.assert_close(actual.residual, true_residual(matrices, b, actual))


def test_zero_curvature_counts_as_negative() -> None:
    """A = diag(2, 0): the second axis has no solution, and the solution with the prior alone is kept."""
    matrices = torch.diag(torch.tensor([2.0, 0.0], dtype=torch.float64)).expand(2, 2, 2)
    b = torch.tensor([[0.0, 3.0], [4.0, 0.0]], dtype=torch.float64)
    actual = ConjugateGradient(10, 1e-8)(times(matrices), b)
    assert actual.outcomes == (Outcome.NEGATIVE_CURVATURE, Outcome.CONVERGED)
    assert actual.value.tolist() == [[0.0, 3.0], [2.0, 0.0]] and actual.residual.tolist() == [1.0, 0.0]


@given(st.integers(0, 199))
@settings(max_examples=60)
def test_an_indefinite_matrix_keeps_the_solution_so_far_and_reports_it(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    base = torch.linalg.qr(torch.randn(2, 10, 10, generator=generator, dtype=torch.float64)).Q
    values = torch.linspace(1, 10, 10, dtype=torch.float64)
    values[0] = -1.0
    matrices, b = base * values @ base.mT, random_b(2, 10, seed)
    actual = ConjugateGradient(50, 1e-9)(times(matrices), b)
    assert bool(actual.value.isfinite().all())
    torch.testing.assert_close(actual.residual, true_residual(matrices, b, actual), atol=1e-7, rtol=1e-6)
    assert Outcome.NEGATIVE_CURVATURE in actual.outcomes
    assert set(actual.outcomes) <= {Outcome.NEGATIVE_CURVATURE, Outcome.CONVERGED}


def test_an_indefinite_row_does_not_change_the_others() -> None:
    good = positive_definite(1, 8, 20.0, 0)
    matrices, b = torch.cat([good, -good, good]), random_b(3, 8)
    actual = ConjugateGradient(100, 1e-11)(times(matrices), b)
    assert actual.outcomes == (Outcome.CONVERGED, Outcome.NEGATIVE_CURVATURE, Outcome.CONVERGED)
    torch.testing.assert_close(actual.value[::2], torch.linalg.solve(matrices, b)[::2], atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("step_size", [None, 0.5])
def test_a_diverging_series_keeps_the_best_solution_and_reports_it(step_size: float | None) -> None:
    matrices, b = positive_definite(1, 6, 20.0, 0), random_b(1, 6)
    indefinite = matrices - 3 * torch.eye(6, dtype=torch.float64)
    actual = Neumann(500, 1e-9, step_size)(times(indefinite), b)
    assert actual.outcomes == (Outcome.DIVERGED,) and bool(actual.value.isfinite().all())
    assert float(actual.residual.max()) <= 1.0
    torch.testing.assert_close(actual.residual, true_residual(indefinite, b, actual))


def test_a_diverging_row_does_not_change_the_others() -> None:
    good = positive_definite(1, 6, 3.0, 0)
    matrices, b = torch.cat([good, -good, good]), random_b(3, 6)
    actual = Neumann(500, 1e-10)(times(matrices), b)
    assert actual.outcomes == (Outcome.CONVERGED, Outcome.DIVERGED, Outcome.CONVERGED)
    torch.testing.assert_close(actual.value[::2], torch.linalg.solve(matrices, b)[::2], atol=1e-8, rtol=1e-8)


def test_a_given_step_size_is_used() -> None:
    matrices, b, rate = positive_definite(1, 5, 4.0, 0), random_b(1, 5), 0.1
    actual = Neumann(3, 1e-12, rate)(times(matrices), b)
    shrink = torch.eye(5, dtype=torch.float64) - rate * matrices[0]
    expected = rate * (b[0] + shrink @ b[0] + shrink @ shrink @ b[0])
    torch.testing.assert_close(actual.value[0], expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", SOLVER_NAMES)
@pytest.mark.parametrize("where", ["matrix", "right-hand side"])
def test_a_row_that_is_not_finite_is_reported_and_does_not_change_the_others(name: str, bad: float, where: str) -> None:
    matrices, b = positive_definite(3, 6, 5.0, 0), random_b(3, 6)
    expected = torch.linalg.solve(matrices, b)
    (matrices if where == "matrix" else b)[1] = bad
    actual = solver_of(name)(times(matrices), b)
    assert actual.outcomes == (Outcome.CONVERGED, Outcome.NOT_FINITE, Outcome.CONVERGED)
    torch.testing.assert_close(actual.value[::2], expected[::2], atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_a_right_hand_side_of_zero_has_the_solution_zero(name: str) -> None:
    matrices, b = positive_definite(2, 6, 5.0, 0), random_b(2, 6)
    b[0] = 0
    actual = solver_of(name)(times(matrices), b)
    assert not actual.value[0].any() and actual.residual[0] == 0
    assert actual.outcomes == (Outcome.CONVERGED,) * 2
    torch.testing.assert_close(actual.value, torch.linalg.solve(matrices, b), atol=1e-8, rtol=1e-8)


def test_every_outcome_is_a_sentence() -> None:
    assert all(" " in kind.value and not kind.value.endswith(".") for kind in Outcome)
    assert len({kind.value for kind in Outcome}) == len(Outcome)
