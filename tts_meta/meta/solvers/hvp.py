"""`HessianProducts`: Hessian-vector products of a likelihood, exact or by central differences of the gradient.

Exact products use double backward. cuDNN's recurrent layers and fused attention have no second derivative, so
`second_order` replaces these kernels. Central differences work with every kernel, but are less accurate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tts_meta.meta.compatibility import check_twice_differentiable

Likelihood = Callable[[Tensor, Tensor], Tensor]
"""`nll(θ (T, P), shared (Q,))` returns `(T,)` nats."""

HessianName = Literal["exact", "difference"]


@contextmanager
def second_order() -> Iterator[None]:
    """Make recurrent and attention layers use kernels that can be differentiated twice, inside the block."""
    with torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
        yield


def difference_step(params: Tensor, vector: Tensor) -> Tensor:
    """Return the step h `(T, 1)` of central differences along `vector (T, P)` at `params (T, P)`.

    h ‖v‖ is the cube root of the rounding error times 1 + ‖θ‖.
    """
    norm = vector.norm(dim=-1, keepdim=True)
    size = 1 + params.norm(dim=-1, keepdim=True)
    return torch.finfo(vector.dtype).eps ** (1 / 3) * size / torch.where(norm > 0, norm, 1.0)


class HessianProducts:
    """Losses, gradient and Hessian products of `nll` at one point θ, and the mixed derivative in shared parameters."""

    def __init__(self, nll: Likelihood, params: Tensor, shared: Tensor, kind: HessianName = "exact") -> None:
        self.nll, self.kind = nll, kind
        self.params, self.shared = params.detach().requires_grad_(), shared.detach().requires_grad_()
        if kind == "exact":
            with second_order():
                losses = nll(self.params, self.shared)
                grads = torch.autograd.grad(losses.sum(), self.params, create_graph=True, materialize_grads=True)
            self._graph = grads[0]
            check_twice_differentiable(self._graph)
            self.gradient = self._graph.detach()
        else:
            losses = nll(self.params, self.shared)
            self.gradient = torch.autograd.grad(losses.sum(), self.params, materialize_grads=True)[0]
        self.losses = losses.detach()

    def product(self, vector: Tensor) -> Tensor:
        """Return H_θθ v, `(T, P)`, for vectors v `(T, P)`."""
        return self._products(vector, with_shared=False)[0]

    def product_with_mixed(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return H_θθ v `(T, P)`, and H_ψθ v summed over tasks `(Q,)` for the shared parameters ψ."""
        return self._products(vector, with_shared=True)

    def _products(self, vector: Tensor, with_shared: bool) -> tuple[Tensor, Tensor]:
        inputs = (self.params, self.shared) if with_shared and len(self.shared) else (self.params,)
        products = self._exact(vector, inputs) if self.kind == "exact" else self._difference(vector, inputs)
        return products[0], products[1] if len(products) > 1 else torch.zeros_like(self.shared)

    def _exact(self, vector: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self._graph.requires_grad:  # the likelihood is linear in θ
            return tuple(torch.zeros_like(value) for value in inputs)
        # The graph was built inside `second_order`; its kernels are fixed.
        return torch.autograd.grad(self._graph, inputs, vector.detach(), retain_graph=True, materialize_grads=True)

    def _difference(self, vector: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return (∇(θ + h v) - ∇(θ - h v)) / 2h with the `difference_step` h."""
        step = difference_step(self.params.detach(), vector)
        weight = 1 / (2 * step.squeeze(-1))
        plus = (self.nll(self.params + step * vector, self.shared) * weight).sum()
        minus = (self.nll(self.params - step * vector, self.shared) * weight).sum()
        return torch.autograd.grad(plus - minus, inputs, materialize_grads=True)
