"""`GaussNewtonProducts`: products with Jᵀ Λ J in place of the Hessian of a likelihood; positive semidefinite.

J is the Jacobian of the model's outputs, and Λ is the curvature of the likelihood at the outputs: its second derivative
(Schraudolph 2002), or its Fisher information (Martens 2010). For a Gaussian likelihood of a linear model, Jᵀ Λ J is the
Hessian. Otherwise it lacks the second derivatives of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from tts_meta.meta.compatibility import check_twice_differentiable
from tts_meta.meta.domain import Outputs
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.solvers.hvp import HessianProducts, difference_step, second_order

JacobianName = Literal["difference", "exact"]
HessianKind = Literal["exact", "difference", "gauss-newton", "gauss-newton-exact"]
OutputsOfTasks = Callable[[Tensor, Tensor], Sequence[Outputs]]
"""`outputs(θ (T, P), shared (Q,))` returns the outputs of T tasks."""


class CurvatureProducts(Protocol):
    """The interface that implicit meta-gradients call: `HessianProducts` or `GaussNewtonProducts`."""

    losses: Tensor
    """-log p of each task, `(T,)` nats."""
    gradient: Tensor
    """Gradient of each task's -log p, `(T, P)`."""

    def product(self, vector: Tensor) -> Tensor:
        """Return the product `(T, P)` for vectors `(T, P)`."""
        ...

    def product_with_mixed(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the product `(T, P)`, and the product with the mixed derivative in shared parameters `(Q,)`."""
        ...


class GaussNewtonProducts:
    """Losses, gradient and Gauss-Newton products at one point θ, and the mixed products with shared parameters.

    jacobian: `difference` computes J v by central differences of the outputs, two forward passes without a graph.
    `exact` computes it by double backward, which every layer must allow. Jᵀ u is one backward pass in both cases. The
    graph of one forward pass stays in memory; it does not grow with the number of products.
    """

    def __init__(
        self,
        nll: Callable[[Tensor, Tensor], Tensor],
        outputs: OutputsOfTasks,
        params: Tensor,
        shared: Tensor,
        jacobian: JacobianName = "difference",
    ) -> None:
        self.outputs, self.jacobian = outputs, jacobian
        self.params, self.shared = params.detach().requires_grad_(), shared.detach().requires_grad_()
        losses = nll(self.params, self.shared)
        self.losses = losses.detach()
        self.gradient = torch.autograd.grad(losses.sum(), self.params, materialize_grads=True)[0]
        if jacobian == "exact":
            with second_order():
                self._linearise()
                # Jᵀ u as a function of u, whose derivative along v is J v.
                self._u = [torch.zeros_like(value).requires_grad_() for value in self._values]
                self._transposed = self._pull_back(self._u, (self.params,), create_graph=True)[0]
            check_twice_differentiable(self._transposed)
        else:
            self._linearise()

    def product(self, vector: Tensor) -> Tensor:
        """Return Jᵀ Λ J v, `(T, P)`, for vectors v `(T, P)`."""
        return self._products(vector, (self.params,))[0]

    def product_with_mixed(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return Jᵀ Λ J v `(T, P)`, and J_ψᵀ Λ J v summed over tasks `(Q,)` for the shared parameters ψ."""
        if not len(self.shared):
            return self.product(vector), torch.zeros_like(self.shared)
        product, mixed = self._products(vector, (self.params, self.shared))
        return product, mixed

    def jacobian_product(self, vector: Tensor) -> list[Tensor]:
        """Return J v of each task, `(N,)` each, for vectors v `(T, P)`."""
        vector = vector.detach()
        if self.jacobian == "exact":
            if not self._transposed.requires_grad:  # no output depends on θ
                return [torch.zeros_like(u) for u in self._u]
            return list(
                torch.autograd.grad(self._transposed, self._u, vector, retain_graph=True, materialize_grads=True)
            )
        params, shared = self.params.detach(), self.shared.detach()
        step = difference_step(params, vector)
        with torch.no_grad():
            ends = [self.outputs(params + sign * step * vector, shared) for sign in (1, -1)]
        pairs = zip(*ends, (2 * step).unbind(0), strict=True)
        return [(plus.values - minus.values) / width for plus, minus, width in pairs]

    def _linearise(self) -> None:
        """Keep the graph of the outputs at θ, and their curvature."""
        outputs = self.outputs(self.params, self.shared)
        self._values = [task.values for task in outputs]
        self.curvature = [task.curvature.detach() for task in outputs]

    def _products(self, vector: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        images = zip(self.curvature, self.jacobian_product(vector), strict=True)
        return self._pull_back([curvature * image for curvature, image in images], inputs)

    def _pull_back(
        self, vectors: Sequence[Tensor], inputs: tuple[Tensor, ...], create_graph: bool = False
    ) -> tuple[Tensor, ...]:
        """Return Jᵀ u for a vector u of each task, by one backward pass."""
        pairs = zip(self._values, vectors, strict=True)
        depends = [(value, vector) for value, vector in pairs if value.requires_grad]
        if not depends:
            return tuple(torch.zeros_like(value) for value in inputs)
        values, weights = zip(*depends, strict=True)
        return torch.autograd.grad(
            values, inputs, weights, retain_graph=True, create_graph=create_graph, materialize_grads=True
        )


def curvature_products(
    kind: HessianKind, likelihood: Likelihood, params: Tensor, shared: Tensor, data: Sequence[Any], seed: int = 0
) -> CurvatureProducts:
    """Return the products of this kind for the likelihood of the data of T tasks, at `params (T, P)`."""

    def nll(params: Tensor, shared: Tensor) -> Tensor:
        return likelihood.nll(params, shared, data, seed)

    if kind == "exact" or kind == "difference":
        return HessianProducts(nll, params, shared, kind)
    return GaussNewtonProducts(
        nll,
        lambda params, shared: likelihood.outputs(params, shared, data, seed),
        params,
        shared,
        "exact" if kind == "gauss-newton-exact" else "difference",
    )
