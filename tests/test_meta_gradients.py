"""Meta-gradients against closed forms, finite differences of the whole solve, and each other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor
from toy_domains import (
    Blocks,
    Net,
    domain_of,
    quadratic_loss,
    quadratic_task,
    regression_loss,
    regression_task,
)

from tts_meta.meta import (
    Adam,
    ConjugateGradient,
    Domain,
    GradientDescent,
    Implicit,
    MetaParams,
    Neumann,
    Reptile,
    ShrinkagePrior,
    ShrinkageReptile,
    StepSizeSchedule,
    Task,
    Unrolled,
)
from tts_meta.meta.hvp import HessianName
from tts_meta.meta.meta_gradients import InnerLoop, MetaGradientEstimator
from tts_meta.meta.parameter_layout import parameter_vector

EXACT = ConjugateGradient(200, 1e-13)


def meta_of(domain: Domain, log_variances: Tensor, rate: float = 0.0) -> MetaParams:
    adapted, shared = parameter_vector(domain.model, domain.adapted), parameter_vector(domain.model, domain.shared)
    return MetaParams(adapted, shared, log_variances.double(), torch.tensor(rate, dtype=torch.float64))


def descent(domain: Domain, steps: int, rate: float) -> InnerLoop:
    return InnerLoop(GradientDescent(), steps, StepSizeSchedule("fixed", domain.adapted, rate, steps))


def run(
    rule: MetaGradientEstimator,
    domain: Domain,
    meta: MetaParams,
    tasks: list[Task],
    steps: int = 0,
    rate: float = 0.1,
):
    meta = replace(meta, step_sizes=torch.tensor(rate, dtype=torch.float64))
    return rule(domain, meta, tasks, descent(domain, steps, rate))


def maximum_a_posteriori(domain: Domain, meta: MetaParams, tasks: list[Task]) -> Tensor:
    """δ `(T, P)` to the last digit, by Newton's method from a long proximal_step descent."""
    prior = ShrinkagePrior(domain.adapted, meta.log_variances)
    rows = []
    for task in tasks:

        def objective(delta: Tensor, task: Task = task) -> Tensor:
            nll = domain.nll((meta.adapted + delta)[None], meta.shared, [task.support])[0]
            return nll + prior.penalty(delta)

        delta = torch.zeros_like(meta.adapted)
        for _ in range(200):
            point = delta.requires_grad_()
            gradient = torch.autograd.grad(objective(point), point)[0]
            if gradient.norm() < 1e-11:
                break
            hessian = torch.autograd.functional.hessian(objective, delta.detach(), vectorize=True)
            assert isinstance(hessian, Tensor)
            values, vectors = torch.linalg.eigh(hessian)
            step = vectors @ ((vectors.T @ gradient) / values.abs().clamp(min=1e-3))
            size = 1.0
            while size > 1e-6 and objective(delta.detach() - size * step) > objective(delta.detach()):
                size /= 2
            if size <= 1e-6:
                break
            delta = (delta - size * step).detach()
        rows.append(delta.detach())
    return torch.stack(rows)


def total_query(domain: Domain, meta: MetaParams, tasks: list[Task]) -> Tensor:
    delta = maximum_a_posteriori(domain, meta, tasks)
    return domain.nll(meta.adapted + delta, meta.shared, [task.query for task in tasks]).sum()


# Closed form.


def closed_form(domain: Domain, meta: MetaParams, tasks: list[Task], adapts: Tensor) -> tuple[Tensor, MetaParams]:
    """δ and the gradient for quadratic losses by dense algebra; `adapts` marks the adapted part of the vector."""
    precision = ShrinkagePrior(domain.adapted, meta.log_variances).precision()
    full = parameter_vector(domain.model, domain_of(domain.model, quadratic_loss).adapted)
    deltas, phi, psi, s = [], 0.0, 0.0, 0.0
    for task in tasks:
        a, q = task.support, task.query
        h, h_mixed = a.curvature[adapts][:, adapts], a.curvature[~adapts][:, adapts]
        slope = (a.curvature @ (full - a.centre))[adapts]
        delta = -torch.linalg.solve(h + torch.diag(precision), slope)
        theta = full.clone()
        theta[adapts] += delta
        g = q.curvature @ (theta - q.centre)
        v = torch.linalg.solve(h + torch.diag(precision), g[adapts])
        phi, psi = phi + v * precision, psi + g[~adapts] - h_mixed @ v
        s = s + domain.adapted.sum_modules(v * delta * precision)
        deltas.append(delta)
    zero = torch.zeros((), dtype=torch.float64)
    return torch.stack(deltas), MetaParams(torch.as_tensor(phi), torch.as_tensor(psi), torch.as_tensor(s), zero)


@pytest.mark.parametrize("adapted", [None, ("a", "c"), ("b",)])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("linear", [EXACT, Neumann(20000, 1e-12)], ids=["cg", "neumann"])
@pytest.mark.parametrize("hessian", ["exact", "difference"])
def test_implicit_gradients_of_quadratic_losses_are_the_closed_form(
    adapted: tuple[str, ...] | None, centred: bool, linear, hessian: HessianName
) -> None:
    domain = domain_of(Blocks(), quadratic_loss, adapted)
    meta = meta_of(domain, torch.tensor([-1.0, 0.5, -2.0])[: len(domain.adapted.modules)])
    adapts = torch.tensor([name in (adapted or ("a", "b", "c")) for name in "aabbbcc"])
    tasks = [quadratic_task(seed) for seed in range(3)]
    delta, expected = closed_form(domain, meta, tasks, adapts)
    found = Implicit(linear, centred, hessian).at(domain, meta, tasks, delta)
    tolerance = 1e-8 if hessian == "exact" else 1e-5
    for one, two in zip(found.gradient, expected, strict=True):
        torch.testing.assert_close(one, two, atol=tolerance, rtol=tolerance)
    assert found.residual.max() < 1e-8 and (found.stationarity < tolerance).all()


# Finite differences of the whole solve.


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("adapted", [None, ("first", "head", "context")])
def test_implicit_gradients_of_a_network_are_finite_differences_of_the_whole_solve(
    adapted: tuple[str, ...] | None, centred: bool
) -> None:
    domain = domain_of(Net(), regression_loss, adapted)
    tasks = [regression_task(1), regression_task(2)]
    meta = meta_of(domain, torch.tensor([-2.0, -3.0, -1.5, -3.5])[: len(domain.adapted.modules)])
    delta = maximum_a_posteriori(domain, meta, tasks)
    found = Implicit(EXACT, centred).at(domain, meta, tasks, delta)
    assert found.stationarity.max() < 1e-6
    generator = torch.Generator().manual_seed(0)
    for name in ("adapted", "shared", "log_variances"):
        value, gradient = getattr(meta, name), getattr(found.gradient, name)
        directions = torch.eye(len(value), dtype=torch.float64)
        if name != "log_variances":
            directions = torch.randn(min(3, len(value)), len(value), generator=generator, dtype=torch.float64)
        for direction in directions:
            step = 1e-4
            ends = [
                total_query(domain, replace(meta, **{name: value + sign * step * direction}), tasks) for sign in (1, -1)
            ]
            expected = float((ends[0] - ends[1]) / (2 * step))
            assert float(gradient @ direction) == pytest.approx(expected, rel=1e-4, abs=1e-5)


# Each other.


def test_the_unrolled_gradient_approaches_the_implicit_one_as_steps_grow() -> None:
    domain = domain_of(Blocks(), quadratic_loss)
    meta, tasks = meta_of(domain, torch.tensor([-1.0, 0.5, -2.0])), [quadratic_task(0), quadratic_task(1)]
    adapts = torch.ones(7, dtype=torch.bool)
    _, expected = closed_form(domain, meta, tasks, adapts)
    off = []
    for steps in (3, 10, 30, 100, 300):
        found = run(Unrolled(), domain, meta, tasks, steps).gradient
        off.append(
            float((found.adapted - expected.adapted).norm() + (found.log_variances - expected.log_variances).norm())
        )
    assert off == sorted(off, reverse=True) and off[-1] < 1e-6 * off[0]


@pytest.mark.parametrize("solver", [GradientDescent(), Adam()], ids=["gd", "adam"])
def test_unrolled_gradients_are_finite_differences_of_the_steps(solver) -> None:
    domain = domain_of(Net(), regression_loss, ("first", "head"))
    meta = replace(meta_of(domain, torch.tensor([-1.0, -2.0])), step_sizes=torch.tensor(0.01, dtype=torch.float64))
    tasks = [regression_task(1), regression_task(2)]
    inner = InnerLoop(solver, 6, StepSizeSchedule("scalar", domain.adapted, 0.01, 6))
    rule = Unrolled()
    found = rule(domain, meta, tasks, inner)
    for name in ("adapted", "shared", "log_variances", "step_sizes"):
        value, gradient = getattr(meta, name), getattr(found.gradient, name)
        direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ends = [
            rule(domain, replace(meta, **{name: value + sign * 1e-6 * direction}), tasks, inner).loss_after.sum()
            for sign in (1, -1)
        ]
        expected = float((ends[0] - ends[1]) / 2e-6)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5)


def by_hand_maml(domain: Domain, meta: MetaParams, tasks: list[Task], steps: int, rate: float) -> Tensor:
    phi = meta.adapted.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for task in tasks:
        theta = phi
        for _ in range(steps):
            value = domain.nll(theta[None], meta.shared, [task.support]).sum()
            theta = theta - rate * torch.autograd.grad(value, theta, create_graph=True)[0]
        total = total + domain.nll(theta[None], meta.shared, [task.query]).sum()
    return torch.autograd.grad(total, phi)[0]


@pytest.mark.parametrize("log_variance", [math.inf, 600.0])
def test_an_infinite_variance_makes_sigma_maml_maml(log_variance: float) -> None:
    domain = domain_of(Net(), regression_loss)
    tasks = [regression_task(1), regression_task(2)]
    meta = meta_of(domain, torch.full((4,), log_variance))
    found = run(Unrolled(), domain, meta, tasks, 4, 0.01).gradient
    torch.testing.assert_close(found.adapted, by_hand_maml(domain, meta, tasks, 4, 0.01), atol=1e-12, rtol=1e-12)
    assert found.log_variances.abs().max() < 1e-200


def test_one_common_variance_makes_sigma_imaml_imaml() -> None:
    domain = domain_of(Net(), regression_loss)
    task, precision = regression_task(4), 8.0
    meta = meta_of(domain, torch.full((4,), -math.log(precision)))
    delta = maximum_a_posteriori(domain, meta, [task])
    theta = meta.adapted + delta[0]

    def support(point: Tensor) -> Tensor:
        return domain.nll(point[None], meta.shared, [task.support])[0]

    hessian = torch.autograd.functional.hessian(support, theta, vectorize=True)
    assert isinstance(hessian, Tensor)
    point = theta.clone().requires_grad_()
    g = torch.autograd.grad(domain.nll(point[None], meta.shared, [task.query])[0], point)[0]
    expected = torch.linalg.solve(torch.eye(len(theta), dtype=torch.float64) + hessian / precision, g)
    found = Implicit(EXACT).at(domain, meta, [task], delta).gradient.adapted
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)


def test_a_constant_variance_makes_sigma_reptile_move_as_reptile_does() -> None:
    """Reptile from the same solutions moves φ by the sum of φ - θ̂; σ-Reptile by that over σ²."""
    domain = domain_of(Net(), regression_loss)
    variance, tasks = 0.2, [regression_task(1), regression_task(2)]
    meta = meta_of(domain, torch.full((4,), math.log(variance), dtype=torch.float64))
    shrinkage = run(ShrinkageReptile(), domain, meta, tasks, 30, 0.01).gradient.adapted
    silent = [replace(task, query=(task.query[0][:0], task.query[1][:0])) for task in tasks]
    plain = run(Reptile(), domain, meta, silent, 30, 0.01).gradient.adapted
    torch.testing.assert_close(shrinkage * variance, plain, atol=1e-12, rtol=1e-12)


def test_reptile_adapts_on_support_and_query_together() -> None:
    domain = domain_of(Net(), regression_loss)
    task, meta = regression_task(1), meta_of(domain, torch.full((4,), math.inf))
    both = Task(tuple(torch.cat([a, b]) for a, b in zip(task.support, task.query, strict=True)), task.query)
    rule = Unrolled(order=1)
    whole = run(rule, domain, meta, [both], 5, 0.01).loss_after
    torch.testing.assert_close(run(Reptile(), domain, meta, [task], 5, 0.01).loss_after, whole)


def test_first_order_is_the_query_gradient_at_the_solution() -> None:
    domain = domain_of(Net(), regression_loss)
    task, meta = regression_task(1), meta_of(domain, torch.full((4,), math.inf))
    theta = meta.adapted.clone()
    for _ in range(5):
        point = theta.requires_grad_()
        value = domain.nll(point[None], meta.shared, [task.support]).sum()
        theta = (point - 0.01 * torch.autograd.grad(value, point)[0]).detach()
    point = theta.requires_grad_()
    expected = torch.autograd.grad(domain.nll(point[None], meta.shared, [task.query]).sum(), point)[0]
    found = run(Unrolled(order=1), domain, meta, [task], 5, 0.01).gradient.adapted
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_weights_of_the_steps_weigh_the_gradients_after_each(order: Literal[1, 2]) -> None:
    domain = domain_of(Net(), regression_loss)
    tasks, meta = [regression_task(1)], meta_of(domain, torch.full((4,), math.inf))
    weights = (0.2, 0.3, 0.5)
    found = run(Unrolled(order, weights), domain, meta, tasks, 3, 0.01).gradient.adapted
    single = [run(Unrolled(order), domain, meta, tasks, steps, 0.01).gradient.adapted for steps in (1, 2, 3)]
    expected = sum((w * one for w, one in zip(weights, single, strict=True)), torch.zeros_like(found))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


# σ → 0.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [Implicit, Unrolled, ShrinkageReptile])
def test_a_vanishing_variance_freezes_a_module_and_nothing_overflows(dtype: torch.dtype, make: type) -> None:
    net, tasks = Net(dtype), [regression_task(1, dtype), regression_task(2, dtype)]
    whole, without = domain_of(net, regression_loss), domain_of(net, regression_loss, ("context", "first", "head"))
    variances = torch.tensor([-2.0, -2.0, -40.0, -2.0], dtype=dtype)
    rate = torch.tensor(0.01, dtype=dtype)

    def gradient(domain: Domain, values: Tensor):
        meta = MetaParams(parameter_vector(net, domain.adapted), parameter_vector(net, domain.shared), values, rate)
        exact = Implicit(ConjugateGradient(200, 1e-10))
        rule = {Implicit: exact, Unrolled: Unrolled(), ShrinkageReptile: ShrinkageReptile(exact)}[make]
        # Long enough for σ-Reptile's (φ - θ̂)/σ², the gradient at the last but one step, to be that at the last.
        return rule(domain, meta, tasks, descent(domain, 3000 if make is ShrinkageReptile else 20, 0.01))

    frozen, shared = gradient(whole, variances), gradient(without, variances[[0, 1, 3]])
    assert frozen.finite
    torch.testing.assert_close(frozen.loss_after, shared.loss_after)
    names = ("second.weight", "second.bias")
    found = whole.adapted.unflatten(frozen.gradient.adapted)
    expected = without.shared.unflatten(shared.gradient.shared)
    tolerance = 2e-3 if dtype == torch.float32 else 1e-7
    for name in names:
        torch.testing.assert_close(found[name], expected[name], atol=tolerance, rtol=tolerance)
    assert frozen.gradient.log_variances[2].abs() < 1e-6
