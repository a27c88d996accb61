"""The inner loop: its steps, its results by order of differentiation, parallel tasks, and divergence."""

from __future__ import annotations

import importlib
import math
from typing import Literal

import pytest
import torch
from torch import Tensor
from toy_losses import LAYOUT, META, SOLVERS, bowl, displaced, prior_of, wavy

from tts_meta.meta import Adam, Diverged, GradientDescent, ShrinkagePrior, run_inner_loop
from tts_meta.meta.solvers.inner_solvers import InnerSolver

INNER_LOOP = importlib.import_module("tts_meta.meta.solvers.inner_loop")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_parallel_tasks_do_not_influence_each_other(solver: InnerSolver, order: Literal[0, 1, 2]) -> None:
    prior = prior_of(1.0, 0.1, math.inf)
    together, trace = displaced(wavy, prior, solver, 0.02, 20, tasks=3, order=order)
    for task in range(3):
        alone, losses = displaced(
            lambda params, step, task=task: wavy_of(params, step, task), prior, solver, 0.02, 20, order=order
        )
        torch.testing.assert_close(together[task], alone[0], atol=1e-13, rtol=1e-13)
        torch.testing.assert_close(trace.losses[:, task], losses.losses[:, 0], atol=1e-12, rtol=1e-13)


def wavy_of(params: Tensor, step: int, task: int) -> Tensor:
    """`wavy` of a single task."""
    rows = [params if number == task else torch.zeros_like(params) for number in range(3)]
    return wavy(torch.cat(rows), step)[task : task + 1]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_no_longer_finite_does_not_change_the_others(solver: InnerSolver, bad: float) -> None:
    def breaks(params: Tensor, step: int) -> Tensor:
        weight = torch.tensor([1.0, bad if step == 3 else 1.0, 1.0], dtype=torch.float64)
        return bowl(params) * weight

    prior = prior_of(1.0, 0.1, math.inf)
    broken, trace = displaced(breaks, prior, solver, 0.02, 10, tasks=3)
    intact, expected = displaced(bowl, prior, solver, 0.02, 10, tasks=3)
    assert torch.equal(broken[[0, 2]], intact[[0, 2]]) and not broken[1].isfinite().any()
    assert torch.equal(trace.losses[:, [0, 2]], expected.losses[:, [0, 2]])
    assert trace.losses[:, 1].isfinite().tolist() == [True] * 3 + [False] * 7


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_if_no_loss_is_finite_the_error_names_the_step(order: Literal[0, 1, 2], bad: float) -> None:
    def breaks(params: Tensor, step: int) -> Tensor:
        return bowl(params) * (bad if step == 3 else 1.0)

    with pytest.raises(Diverged, match="the loss is not finite after 3 steps; lower the inner learning rate"):
        displaced(breaks, prior_of(1.0, 1.0, 1.0), GradientDescent(), 0.01, 10, tasks=2, order=order)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_gradient_that_is_not_finite_at_the_last_step_is_an_error_too(solver: InnerSolver) -> None:
    def steep(params: Tensor, step: int) -> Tensor:
        return bowl(params) + (params - params.detach()).abs().sum(-1).pow(0.5)

    with pytest.raises(Diverged, match="not finite after 1 steps"):
        displaced(steep, prior_of(1.0, 1.0, 1.0), solver, 0.01, 1, tasks=2)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_zero_steps_give_the_meta_parameters(order: Literal[0, 1, 2]) -> None:
    delta, trace = displaced(bowl, prior_of(1.0, 1.0, 1.0), Adam(), 0.1, 0, tasks=3, order=order)
    assert delta.shape == (3, 7) and not delta.any()
    assert trace.losses.shape == (0, 3)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_loop_ends_when_should_stop_is_true(order: Literal[0, 1, 2]) -> None:
    prior, seen = prior_of(1.0, 0.1, math.inf), []
    path, trace = run_inner_loop(
        wavy,
        META,
        prior,
        Adam(),
        lambda step: 0.02,
        10,
        tasks=2,
        order=order,
        observe=lambda step, params: seen.append(step),
        should_stop=lambda done: done == 4,
    )
    expected, losses = run_inner_loop(wavy, META, prior, Adam(), lambda step: 0.02, 4, tasks=2, order=order)
    assert torch.equal(path[-1], expected[-1]) and torch.equal(trace.losses, losses.losses)
    assert trace.losses.shape == (4, 2) and seen == [0, 1, 2, 3, 4]


def test_arguments_do_not_change_and_every_step_is_observed() -> None:
    before, seen = META.clone(), []
    path, trace = run_inner_loop(
        bowl,
        META,
        prior_of(1.0, 1.0, 1.0),
        Adam(),
        lambda step: 0.1,
        5,
        observe=lambda step, params: seen.append((step, params)),
    )
    assert torch.equal(META, before) and not META.requires_grad
    assert [step for step, _ in seen] == list(range(6))
    assert torch.equal(seen[0][1], META[None]) and torch.equal(seen[-1][1], META + path[-1])
    for (step, params), loss in zip(seen, trace.losses, strict=False):
        torch.testing.assert_close(bowl(params, step), loss)
    assert not path[-1].requires_grad and trace.losses[-1] < trace.losses[0]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("variance", [0.1, math.inf])
def test_all_orders_give_the_same_solution(solver: InnerSolver, variance: float) -> None:
    flat, trace = displaced(wavy, prior_of(1.0, variance, variance), solver, 0.02, 10, tasks=3)
    for order in (1, 2):
        path, other = displaced(wavy, prior_of(1.0, variance, variance), solver, 0.02, 10, 3, order)
        torch.testing.assert_close(path, flat, atol=1e-13, rtol=1e-13)
        torch.testing.assert_close(other.losses, trace.losses, atol=1e-12, rtol=1e-13)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("block", [1, 3, 7])
def test_steps_in_blocks_give_the_same_result(solver: InnerSolver, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = torch.linspace(0.01, 0.05, 7, dtype=torch.float64)
    for rate in (0.02, rates):
        expected, _ = run_inner_loop(wavy, META, prior_of(1.0, 0.1, math.inf), solver, lambda step, r=rate: r, 10, 3, 1)
        monkeypatch.setattr(INNER_LOOP, "BLOCK", block)
        actual, _ = run_inner_loop(wavy, META, prior_of(1.0, 0.1, math.inf), solver, lambda step, r=rate: r, 10, 3)
        assert torch.equal(META + actual[-1], expected[-1].detach())


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_step_is_kept_for_differentiation(solver: InnerSolver) -> None:
    path, _ = run_inner_loop(wavy, META, prior_of(1.0, 0.1, 1.0), solver, lambda step: 0.02, 4, 3, 2)
    assert len(path) == 5
    for steps, params in enumerate(path):
        delta, _ = displaced(wavy, prior_of(1.0, 0.1, 1.0), solver, 0.02, steps, tasks=3)
        torch.testing.assert_close(params - META, delta, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("variance", [0.1, math.inf])
def test_second_order_gradients_are_finite_differences_of_the_steps(solver: InnerSolver, variance: float) -> None:
    weights = torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def result(meta: Tensor, log_variances: Tensor, rate: Tensor) -> Tensor:
        prior = ShrinkagePrior(LAYOUT, log_variances)
        path, _ = run_inner_loop(wavy, meta, prior, solver, lambda step: rate, 6, 3, 2)
        return (path[-1] * weights).sum()

    start = torch.tensor([0.3, variance, variance], dtype=torch.float64).log()
    point = [META.clone(), start, torch.full((7,), 0.03, dtype=torch.float64)]
    leaves = [value.clone().requires_grad_() for value in point]
    gradients = torch.autograd.grad(result(*leaves), leaves)
    for number, gradient in enumerate(gradients):
        direction = torch.randn(point[number].shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            moved = list(point)
            moved[number] = point[number] + sign * 1e-6 * direction
            ends.append(result(*moved).item())
        expected = (ends[0] - ends[1]) / 2e-6
        assert float(gradient @ direction) == pytest.approx(expected, rel=1e-6)
    assert bool((gradients[1][1:] == 0).all()) == (variance == math.inf)


@pytest.mark.parametrize("solver", SOLVERS)
def test_first_order_takes_the_likelihoods_gradients_as_constants(solver: InnerSolver) -> None:
    """δ then does not depend on φ, and depends on the prior and the step size only through the proximal steps."""
    meta = META.clone().requires_grad_()
    values = torch.tensor([0.0, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    path, _ = run_inner_loop(wavy, meta, ShrinkagePrior(LAYOUT, values), solver, lambda step: 0.03, 6, 1, 1)
    centre, variances = torch.autograd.grad(path[-1].sum(), (meta, values))
    torch.testing.assert_close(centre, torch.ones_like(centre))

    path = [params.detach().clone().requires_grad_() for params in path]
    steps = [torch.autograd.grad(wavy(params, step).sum(), params)[0] for step, params in enumerate(path[:-1])]
    tape = iter(steps)

    def recorded(params: Tensor, step: int) -> Tensor:
        return (params * next(tape)).sum(-1)

    again, _ = run_inner_loop(recorded, META, ShrinkagePrior(LAYOUT, values), solver, lambda step: 0.03, 6, 1, 2)
    torch.testing.assert_close(variances, torch.autograd.grad(again[-1].sum(), values)[0])
