"""Gauss-Newton products equal explicit algebra, with both kinds of Jacobian, one task after another or in parallel."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from toy_domains import Net, likelihood_of, most_saved, net_of, regression_loss, regression_outputs, regression_task

from tts_meta.errors import UsageError
from tts_meta.meta import Likelihood, Outputs
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.meta.solvers.gauss_newton import (
    GaussNewtonProducts,
    JacobianName,
    curvature_products,
)
from tts_meta.meta.solvers.hvp import HessianProducts

TASKS = [regression_task(seed).support for seed in range(3)]
TOLERANCE = {"exact": 1e-11, "difference": 1e-7}
every_jacobian = pytest.mark.parametrize("jacobian", get_args(JacobianName))
adapted_parts = pytest.mark.parametrize("adapted", [None, ("first", "head"), ("context",)])


class Features(nn.Module):
    """A model that is linear in its parameters: `even` and `odd` weigh powers of the input."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.even, self.odd = (
            nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64)) for size in (3, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        even, odd = (x ** torch.tensor(powers) for powers in ([0, 2, 4], [1, 3]))
        return even @ self.even[:, None] + odd @ self.odd[:, None]


def random_like(value: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(value.shape, generator=torch.Generator().manual_seed(seed), dtype=value.dtype)


def points_of(likelihood: Likelihood, tasks: int) -> tuple[Tensor, Tensor]:
    """Different θ for each task, `(T, P)`, and the shared parameters."""
    adapted, shared = (parameter_vector(likelihood.model, layout) for layout in (likelihood.adapted, likelihood.shared))
    return adapted + 0.3 * random_like(adapted.expand(tasks, -1)), shared


def products_of(
    likelihood: Likelihood, params: Tensor, shared: Tensor, jacobian: JacobianName = "difference", tasks: int = 3
) -> GaussNewtonProducts:
    kind = "gauss-newton" if jacobian == "difference" else "gauss-newton-exact"
    products = curvature_products(kind, likelihood, params, shared, TASKS[:tasks])
    assert isinstance(products, GaussNewtonProducts) and products.jacobian == jacobian
    return products


def assert_near(actual: Tensor, expected: Tensor, jacobian: JacobianName) -> None:
    """Equal to the precision of this Jacobian, relative to the largest value."""
    size = max(expected.abs().flatten().tolist(), default=0.0)
    torch.testing.assert_close(actual, expected, atol=TOLERANCE[jacobian] * size, rtol=0)


@every_jacobian
@pytest.mark.parametrize("vectorised", [False, True])
@adapted_parts
def test_products_equal_those_with_the_explicit_matrix(
    jacobian: JacobianName, vectorised: bool, adapted: tuple[str, ...] | None
) -> None:
    likelihood = likelihood_of(net_of(), regression_loss, adapted, vectorised, regression_outputs)
    params, shared = points_of(likelihood, 3)
    products = products_of(likelihood, params, shared, jacobian)
    vector, mixed = random_like(params, 1), torch.zeros_like(shared)
    expected = torch.zeros_like(params)
    for row, data in enumerate(TASKS):

        def values(theta: Tensor, psi: Tensor, data: tuple[Tensor, Tensor] = data) -> Tensor:
            return likelihood.outputs(theta[None], psi, [data])[0].values

        jacobians = torch.autograd.functional.jacobian(values, (params[row], shared))
        image = jacobians[0] @ vector[row] / 0.3**2
        expected[row], mixed = jacobians[0].T @ image, mixed + jacobians[1].T @ image
    both = products.product_with_mixed(vector)
    for product in (products.product(vector), both[0]):
        assert_near(product, expected, jacobian)
        assert not product.requires_grad
    assert_near(both[1], mixed, jacobian)
    exact = HessianProducts(lambda p, s: likelihood.nll(p, s, TASKS), params, shared)
    torch.testing.assert_close(products.gradient, exact.gradient)
    torch.testing.assert_close(products.losses, exact.losses)


@every_jacobian
@pytest.mark.parametrize("adapted", [None, ("even",)])
def test_gaussian_regression_with_a_linear_model_has_the_exact_hessian(
    jacobian: JacobianName, adapted: tuple[str, ...] | None
) -> None:
    likelihood = likelihood_of(Features(), regression_loss, adapted, outputs=regression_outputs)
    params, shared = points_of(likelihood, 3)
    exact = HessianProducts(lambda p, s: likelihood.nll(p, s, TASKS), params, shared)
    vector = random_like(params, 1)
    for actual, expected in zip(
        products_of(likelihood, params, shared, jacobian).product_with_mixed(vector),
        exact.product_with_mixed(vector),
        strict=True,
    ):
        assert_near(actual, expected, jacobian)


@every_jacobian
def test_products_are_symmetric_and_positive_semidefinite_where_the_hessian_is_not(jacobian: JacobianName) -> None:
    likelihood = likelihood_of(net_of(), regression_loss, outputs=regression_outputs)
    params, shared = points_of(likelihood, 3)
    products = products_of(likelihood, params, shared, jacobian)
    exact = HessianProducts(lambda p, s: likelihood.nll(p, s, TASKS), params, shared)
    columns = torch.eye(params.shape[1], dtype=params.dtype).unbind(0)
    matrices = []
    for source in (products, exact):
        matrices.append(torch.stack([source.product(column.expand_as(params)) for column in columns], -1))
    gauss_newton, hessian = matrices
    scale = float(gauss_newton.abs().max())
    torch.testing.assert_close(gauss_newton, gauss_newton.mT, atol=TOLERANCE[jacobian] * scale, rtol=0)
    assert float(torch.linalg.eigvalsh(gauss_newton).min()) > -TOLERANCE[jacobian] * scale
    assert float(torch.linalg.eigvalsh(hessian).min()) < -1e-2


@every_jacobian
def test_memory_does_not_grow_with_the_number_of_products(jacobian: JacobianName) -> None:
    likelihood = likelihood_of(net_of(), regression_loss, outputs=regression_outputs)
    params, shared = points_of(likelihood, 3)

    def run(count: int) -> int:
        def work() -> None:
            products = products_of(likelihood, params, shared, jacobian)
            for seed in range(count):
                products.product(random_like(params, seed))

        return most_saved(work)

    assert 0 < run(30) == run(1)


class Recurrent(nn.Module):
    """An LSTM with a linear output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 4, num_layers=2, batch_first=True, dtype=torch.float64)
        self.out = nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x[None])[0])[0]


@pytest.mark.parametrize("make", [Recurrent, Net])
def test_both_jacobians_agree(make: type[nn.Module]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    likelihood = likelihood_of(model, regression_loss, ("lstm", "first"), outputs=regression_outputs)
    params, shared = points_of(likelihood, 3)
    vector = random_like(params, 2)
    exact, difference = (
        products_of(likelihood, params, shared, jacobian).product_with_mixed(vector)
        for jacobian in ("exact", "difference")
    )
    for actual, expected in zip(difference, exact, strict=True):
        assert bool(expected.any())
        assert_near(actual, expected, "difference")


@every_jacobian
def test_outputs_that_do_not_depend_on_the_parameters_have_no_curvature(jacobian: JacobianName) -> None:
    def outputs(call, data: tuple[Tensor, Tensor]) -> Outputs:
        values = call(data[0]).detach().flatten()
        return Outputs(values, torch.ones_like(values))

    likelihood = likelihood_of(net_of(), regression_loss, ("first",), outputs=outputs)
    params, shared = points_of(likelihood, 3)
    product, mixed = products_of(likelihood, params, shared, jacobian).product_with_mixed(random_like(params))
    assert not product.any() and not mixed.any()


@every_jacobian
def test_tasks_may_have_different_numbers_of_outputs(jacobian: JacobianName) -> None:
    likelihood = likelihood_of(net_of(), regression_loss, ("first",), outputs=regression_outputs)
    params, shared = points_of(likelihood, 2)
    data = [TASKS[0], tuple(part[:2] for part in TASKS[1])]
    kind = "gauss-newton" if jacobian == "difference" else "gauss-newton-exact"
    vector = random_like(params, 1)
    together = curvature_products(kind, likelihood, params, shared, data).product(vector)
    for row in range(2):
        part = slice(row, row + 1)
        alone = curvature_products(kind, likelihood, params[part], shared, data[part]).product(vector[part])
        assert_near(together[part], alone, jacobian)


def test_the_wrong_shape_of_outputs_is_named() -> None:
    def outputs(call, data: tuple[Tensor, Tensor]) -> Outputs:
        values = call(data[0])
        return Outputs(values, torch.ones(6))

    likelihood = likelihood_of(net_of(), regression_loss, outputs=outputs)
    with pytest.raises(UsageError, match=r"vectors of one length; they have the shapes \(6, 1\) and \(6,\)"):
        likelihood.outputs(*points_of(likelihood, 1), TASKS[:1])
    ignored = likelihood_of(net_of(), regression_loss, outputs=lambda call, data: Outputs(data[0][:, 0], data[0][:, 0]))
    with pytest.raises(UsageError, match="the function of the outputs must call its first argument"):
        ignored.outputs(*points_of(ignored, 1), TASKS[:1])
