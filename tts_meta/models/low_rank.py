"""`LowRankModel`: a model whose matrices adapt by deltas of low rank, W + up @ down.

This is low-rank adaptation (LoRA, Hu et al. 2022, equation 3) of every matrix of a partition, also in recurrent layers.
The factors form modules of a partition, so a prior has a variance for each module. The initial value of
`up (rows, rank)` is zero. The initial rows of `down (rank, columns)` are random with about unit length, and always the
same for the same rank. The initial values are the centre of the prior; they are fixed and not meta-learned.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.errors import UsageError, excerpt
from tts_meta.models.partition import Module, Partition

UP, DOWN = ":up", ":down"
"""Suffixes of the names of a matrix's two factors."""
_PREFIX = "deltas."


class LowRankModel(nn.Module):
    """A model with deltas added to the parameters of `partition`; only the deltas are parameters, initially zero.

    `forward` has the arguments and the result of the wrapped model. The parameters of the wrapped model do not change.
    Vectors, and matrices that are not larger than their two factors, have a delta of full shape. Raises UsageError if
    the rank is below 1.
    """

    def __init__(self, model: nn.Module, partition: Partition, rank: int) -> None:
        super().__init__()
        if rank < 1:
            raise UsageError(f"the rank of the deltas of matrices must be at least 1, not {rank}")
        self.rank, self.base_values = rank, dict(model.named_parameters())
        self._wrapped = [model]  # a list, so that torch does not register the model as a submodule
        self.deltas = nn.ParameterDict()
        self.delta_names: dict[str, tuple[str, ...]] = {}
        """Names of this model's parameters for each parameter of the wrapped model: one delta, or two factors."""
        for name in partition.parameters():
            value = self.base_values[name].detach()
            rows, columns = _matrix_shape(value)
            if has_full_delta(value, rank):
                self._add_delta(name, name, torch.zeros_like(value))
            else:
                generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                down = torch.randn(rank, columns, generator=generator) / columns**0.5
                self._add_delta(name, name + UP, value.new_zeros(rows, rank))
                self._add_delta(name, name + DOWN, down.to(value))
        self.partition = Partition(tuple(self._module(module) for module in partition.modules))
        """The same modules, with the parameters of this model."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        parameters = {_PREFIX + key: value for key, value in self.deltas.items()}
        adapted = {name: self._adapted(name, parameters) for name in self.delta_names}
        return functional_call(self._wrapped[0], adapted, args, kwargs)

    def expand(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return full deltas by parameter name of the wrapped model. parameters: values of this model, by name."""
        deltas = {}
        for name, delta_names in self.delta_names.items():
            factors = [parameters[delta_name] for delta_name in delta_names]
            shape = self.base_values[name].shape
            deltas[name] = (factors[0] @ factors[1]).reshape(shape) if len(factors) == 2 else factors[0]
        return deltas

    def _adapted(self, name: str, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the value plus the delta of a parameter of the wrapped model. parameters: as in `expand`."""
        value, factors = self.base_values[name], [parameters[delta_name] for delta_name in self.delta_names[name]]
        if len(factors) == 1:
            return value + factors[0]
        # One operation for product and sum does not write the product to memory.
        return torch.addmm(value.flatten(1), *factors).reshape(value.shape)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LowRankModel:
        """Apply `fn` to the wrapped model too, so that `to` and `double` move and convert both."""
        super()._apply(fn, recurse)
        self._wrapped[0]._apply(fn, recurse)
        self.base_values = dict(self._wrapped[0].named_parameters())
        return self

    def _add_delta(self, name: str, delta_name: str, value: Tensor) -> None:
        key = delta_name.replace(".", "/")
        self.deltas[key] = nn.Parameter(value)
        self.delta_names[name] = (*self.delta_names.get(name, ()), _PREFIX + key)

    def _module(self, module: Module) -> Module:
        names = tuple(delta_name for name in module.parameters for delta_name in self.delta_names[name])
        return Module(module.name, module.kind, names, sum(self.get_parameter(name).numel() for name in names))


def low_rank(model: nn.Module, partition: Partition, rank: int) -> tuple[LowRankModel, Partition]:
    """Return the `LowRankModel` of a model, and its partition. Raises UsageError if the rank is below 1."""
    wrapped = LowRankModel(model, partition, rank)
    return wrapped, wrapped.partition


def by_parameter_name(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters of a `LowRankModel` by names in the wrapped model: `NAME`, or `NAME:up` and `NAME:down`."""
    return {name.removeprefix(_PREFIX).replace("/", "."): value for name, value in parameters.items()}


def expand_factors(deltas: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return full deltas by parameter name, from deltas and factors as `by_parameter_name` names them.

    shapes: the shapes of the parameters. Raises UsageError if one factor of a pair is missing, or if the product does
    not have the parameter's shape. Shapes are checked before the product is computed.
    """
    full = {name: value for name, value in deltas.items() if not name.endswith((UP, DOWN))}
    for name, up in deltas.items():
        if name.endswith(DOWN) and name.removesuffix(DOWN) + UP not in deltas:
            raise UsageError(f"the factor {excerpt(name)} has no matching factor '{UP}'")
        if name.endswith(UP):
            parameter = name.removesuffix(UP)
            down = deltas.get(parameter + DOWN)
            if down is None:
                raise UsageError(f"the factor {excerpt(name)} has no matching factor '{DOWN}'")
            shape = tuple(shapes.get(parameter, ()))
            rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (0, 0)
            rank = down.shape[0] if down.ndim == 2 else 0
            if not rank or tuple(up.shape) != (rows, rank) or tuple(down.shape) != (rank, columns):
                raise UsageError(f"the factors of {excerpt(parameter)} do not multiply to the delta's shape")
            full[parameter] = (up @ down).reshape(shape)
    return full


def has_full_delta(value: Tensor, rank: int) -> bool:
    """Return whether the delta of a parameter has full shape.

    Vectors, and matrices that are not larger than their two factors, have deltas of full shape.
    """
    rows, columns = _matrix_shape(value)
    return value.ndim == 1 or rows * columns <= rank * (rows + columns)


def expected_delta_rms(value: Tensor, rank: int, sigma: float) -> float:
    """Return the root mean square of an entry of a parameter's delta under the prior.

    Each entry of a full delta has the variance σ²; with `rank` 0 all deltas are full. An entry of a product of factors
    has the variance rank σ² (1 / columns + σ²). The entries of `up` have the distribution N(0, σ²). The entries of
    `down` are independent; their variance is 1 / columns initially, and adaptation adds σ².
    """
    if not rank or has_full_delta(value, rank):
        return sigma
    return sigma * (rank * (1 / _matrix_shape(value)[1] + sigma**2)) ** 0.5


def _matrix_shape(value: Tensor) -> tuple[int, int]:
    """Return the numbers of rows and columns of a parameter as a matrix; all axes except the first are columns."""
    return len(value), value[0].numel() if value.ndim > 1 else 1
