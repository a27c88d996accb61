"""Hessian-vector products: exact products against dense Hessians, differences against exact products, by layer."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from toy_domains import Net, likelihood_of, regression_loss, regression_task

from tts_meta.meta import Likelihood
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.meta.solvers.hvp import HessianName, HessianProducts, second_order

HESSIANS = get_args(HessianName)


def random_like(value: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(value.shape, generator=torch.Generator().manual_seed(seed), dtype=value.dtype)


def assert_near(actual: Tensor, expected: Tensor, kind: HessianName) -> None:
    """Equal to the precision of this kind of product, relative to its largest value."""
    size = max(expected.abs().flatten().tolist(), default=0.0)
    torch.testing.assert_close(actual, expected, atol={"exact": 1e-11, "difference": 1e-7}[kind] * size, rtol=0)


def points_of(likelihood: Likelihood, tasks: int) -> tuple[Tensor, Tensor]:
    """Different θ for each task, `(T, P)`, and the shared parameters."""
    adapted, shared = (
        parameter_vector(likelihood.model, likelihood.adapted),
        parameter_vector(likelihood.model, likelihood.shared),
    )
    return adapted + 0.3 * random_like(adapted.expand(tasks, -1)), shared


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize("kind", HESSIANS)
@pytest.mark.parametrize("adapted", [None, ("first", "head"), ("context",)])
def test_products_equal_those_with_the_dense_hessian_of_all_tasks(
    kind: HessianName, adapted: tuple[str, ...] | None, vectorised: bool
) -> None:
    likelihood = likelihood_of(Net(), regression_loss, adapted, vectorised)
    data = [regression_task(seed).support for seed in range(3)]
    params, shared = points_of(likelihood, 3)
    hessian = HessianProducts(lambda p, s: likelihood.nll(p, s, data), params, shared, kind)

    def total(flat: Tensor) -> Tensor:
        return likelihood.nll(flat[: params.numel()].reshape(params.shape), flat[params.numel() :], data).sum()

    point = torch.cat([params.flatten(), shared])
    dense = torch.autograd.functional.hessian(total, point, vectorize=True)
    assert isinstance(dense, Tensor)
    vector, size = random_like(params, 1), params.numel()
    product, mixed = dense[:size, :size] @ vector.flatten(), dense[size:, :size] @ vector.flatten()
    both = hessian.product_with_mixed(vector)
    assert_near(hessian.product(vector).flatten(), product, kind)
    assert_near(both[0].flatten(), product, kind)
    assert_near(both[1], mixed, kind)
    torch.testing.assert_close(hessian.gradient.flatten(), torch.autograd.functional.jacobian(total, point)[:size])
    torch.testing.assert_close(hessian.losses, likelihood.nll(params, shared, data))


@pytest.mark.parametrize("kind", HESSIANS)
def test_products_are_detached_and_linear_and_do_not_change_their_arguments(kind: HessianName) -> None:
    likelihood = likelihood_of(Net(), regression_loss, ("first", "head"))
    data = [regression_task(seed).support for seed in range(2)]
    params, shared = points_of(likelihood, 2)
    before = params.clone()
    hessian = HessianProducts(lambda p, s: likelihood.nll(p, s, data), params, shared, kind)
    first, second = random_like(params, 1).requires_grad_(), random_like(params, 2)
    assert not hessian.product(first).requires_grad and not hessian.gradient.requires_grad
    expected = 2 * hessian.product(first) - 3 * hessian.product(second)
    assert_near(hessian.product(2 * first - 3 * second), expected, kind)
    assert torch.equal(params, before) and not params.requires_grad and not shared.requires_grad


@pytest.mark.parametrize("kind", HESSIANS)
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_products_do_not_depend_on_the_length_of_the_vector(kind: HessianName, size: float) -> None:
    likelihood = likelihood_of(Net(), regression_loss)
    data = [regression_task(seed).support for seed in range(2)]
    params, shared = points_of(likelihood, 2)
    hessian = HessianProducts(lambda p, s: likelihood.nll(p, s, data), params, shared, kind)
    exact = HessianProducts(lambda p, s: likelihood.nll(p, s, data), params, shared)
    vector = random_like(params, 1)
    expected = exact.product(vector)
    actual = hessian.product(vector * torch.tensor([[size], [1.0]])) / torch.tensor([[size], [1.0]])
    assert_near(actual, expected, kind)


@pytest.mark.parametrize("kind", HESSIANS)
def test_a_vector_of_zeros_gives_zeros(kind: HessianName) -> None:
    likelihood = likelihood_of(Net(), regression_loss, ("first",))
    params, shared = points_of(likelihood, 2)
    data = [regression_task(seed).support for seed in range(2)]
    product, mixed = HessianProducts(lambda p, s: likelihood.nll(p, s, data), params, shared, kind).product_with_mixed(
        torch.zeros_like(params)
    )
    torch.testing.assert_close(product, torch.zeros_like(product), atol=1e-9, rtol=0)
    torch.testing.assert_close(mixed, torch.zeros_like(mixed), atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", HESSIANS)
def test_a_likelihood_linear_in_the_adapted_parameters_has_no_curvature(kind: HessianName) -> None:
    weights, params = random_like(torch.zeros(5, dtype=torch.float64)), torch.zeros(2, 5, dtype=torch.float64)
    shared = torch.ones(5, dtype=torch.float64)
    product, mixed = HessianProducts(lambda p, s: (p * weights).sum(-1), params, shared, kind).product_with_mixed(
        random_like(params)
    )
    torch.testing.assert_close(product, torch.zeros_like(product))
    torch.testing.assert_close(mixed, torch.zeros_like(mixed))


@pytest.mark.parametrize("kind", HESSIANS)
def test_a_likelihood_linear_in_the_adapted_parameters_has_a_mixed_derivative(kind: HessianName) -> None:
    params, shared = torch.zeros(2, 5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    vector = random_like(params)
    hessian = HessianProducts(lambda p, s: (p * s.square()).sum(-1), params, shared, kind)
    product, mixed = hessian.product_with_mixed(vector)
    torch.testing.assert_close(product, torch.zeros_like(product))
    torch.testing.assert_close(mixed, 2 * vector.sum(0), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(hessian.product(vector), product)


# Layers whose fast kernels have no second derivative.


class Recurrent(nn.Module):
    """A bidirectional LSTM over sentences of different lengths, padded or packed."""

    def __init__(self, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)
        self.out = nn.Linear(8, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        if not self.packed:
            return self.out(self.lstm(x)[0])
        sequence = pack_padded_sequence(x, torch.tensor([6, 4]), batch_first=True)
        return self.out(pad_packed_sequence(self.lstm(sequence)[0], batch_first=True)[0])


class Attention(nn.Module):
    """`nn.MultiheadAttention`, which returns its weights or not."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.need_weights = need_weights
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
        self.first, self.out = nn.Linear(3, 4, dtype=torch.float64), nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.out(self.attention(hidden, hidden, hidden, need_weights=self.need_weights)[0])


class Fused(nn.Module):
    """`scaled_dot_product_attention` with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(3, 24, dtype=torch.float64), nn.Linear(8, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.first(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)  # query, key, value (B, heads, time, 4)
        actual = nn.functional.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        return self.out(actual.transpose(1, 2).flatten(-2))


MAKERS = {
    "lstm": lambda: Recurrent(packed=False),
    "packed-lstm": lambda: Recurrent(packed=True),
    "attention": lambda: Attention(need_weights=False),
    "attention-weights": lambda: Attention(need_weights=True),
    "scaled-dot-product": Fused,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize("shares_output", [False, True])
def test_recurrent_and_attention_layers_can_be_differentiated_twice(make, shares_output: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    names = tuple(dict.fromkeys(name.split(".")[0] for name, _ in model.named_parameters()))
    likelihood = likelihood_of(model, regression_loss, tuple(n for n in names if n != "out") if shares_output else None)
    values = random_like(torch.zeros(2, 2, 6, 4, dtype=torch.float64))  # (task, sentence, time, channel)
    data = [(task[..., :3], task[..., 3:]) for task in values]
    params, shared = points_of(likelihood, 2)
    exact, difference = (
        HessianProducts(lambda p, s: likelihood.nll(p, s, data), params, shared, kind) for kind in HESSIANS
    )
    torch.testing.assert_close(exact.gradient, difference.gradient)
    vector = random_like(params, 5)
    products = zip(exact.product_with_mixed(vector), difference.product_with_mixed(vector), strict=True)
    for exact_product, difference_product in products:
        assert_near(difference_product, exact_product, "difference")
    assert bool(exact.product(vector).any())


def test_second_order_restores_the_kernel_settings() -> None:
    def state() -> tuple[bool, ...]:
        cuda = torch.backends.cuda
        return (
            torch.backends.cudnn.enabled,
            cuda.flash_sdp_enabled(),
            cuda.mem_efficient_sdp_enabled(),
            cuda.cudnn_sdp_enabled(),
            cuda.math_sdp_enabled(),
        )

    before = state()
    with second_order():
        assert state() == (False, False, False, False, True)
    assert state() == before
    with pytest.raises(ZeroDivisionError), second_order():
        _ = 1 // 0
    assert state() == before
