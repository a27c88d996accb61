"""A model whose matrices stray from their values in low rank: W + up down, with `rank` columns in `up`.

What low-rank adaptation does (Hu et al. 2022), here for every matrix, those of recurrent layers too, and as modules of
a partition, so that a prior has a variance for each. `up` begins at zero and `down` at random rows of about unit
length, the same for the same rank: they are the centre that voices stray from, and no part of what is learned.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.errors import UsageError
from tts_meta.models.partition import Module, Partition
from tts_meta.parsing import printable

UP, DOWN = ":up", ":down"
"""What follows the name of a matrix, for its factors."""


class LowRankModel(nn.Module):
    """The model, called as it is itself; its parameters are how parameters of `partition` stray, zero at first.

    Vectors, and matrices that their factors would not be smaller than, stray as they are. The model itself is left as
    it was. Raises UsageError where the rank is below 1.
    """

    def __init__(self, model: nn.Module, partition: Partition, rank: int) -> None:
        super().__init__()
        if rank < 1:
            raise UsageError(f"the rank of what matrices stray by must be at least 1, not {rank}")
        self.rank, self.values = rank, dict(model.named_parameters())
        self._whole = [model]  # in a list, it is no part of this one
        self.strays = nn.ParameterDict()
        self.places: dict[str, tuple[str, ...]] = {}
        """Names of the strays of each parameter."""
        for name in partition.parameters():
            value = self.values[name].detach()
            rows, columns = _shape(value)
            if has_full_delta(value, rank):
                self._stray(name, name, torch.zeros_like(value))
            else:
                generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                down = torch.randn(rank, columns, generator=generator) / columns**0.5
                self._stray(name, name + UP, value.new_zeros(rows, rank))
                self._stray(name, name + DOWN, down.to(value))
        own = [
            (module, tuple(place for name in module.parameters for place in self.places[name]))
            for module in partition.modules
        ]
        self.partition = Partition(
            tuple(
                Module(m.name, m.kind, places, sum(self.get_parameter(p).numel() for p in places)) for m, places in own
            )
        )
        """The same modules, of this model's parameters."""

    def forward(self, *args: Any, **named: Any) -> Any:
        changed = {name: self.values[name] + delta for name, delta in self.multiply(self._named()).items()}
        return functional_call(self._whole[0], changed, args, named)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LowRankModel:
        """Move the model itself with this one, as `to` and `double` ask."""
        super()._apply(fn, recurse)
        self._whole[0]._apply(fn, recurse)
        self.values = dict(self._whole[0].named_parameters())
        return self

    def multiply(self, strays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What strays, by this model's names, change in the model's own parameters."""
        factors = ([strays[place] for place in places] for places in self.places.values())
        return {
            name: (own[0] @ own[1]).reshape(self.values[name].shape) if len(own) == 2 else own[0]
            for name, own in zip(self.places, factors, strict=True)
        }

    def _stray(self, name: str, stray: str, value: Tensor) -> None:
        key = stray.replace(".", "/")
        self.strays[key] = nn.Parameter(value)
        self.places[name] = (*self.places.get(name, ()), f"strays.{key}")

    def _named(self) -> dict[str, Tensor]:
        return {f"strays.{key}": value for key, value in self.strays.items()}


def low_rank(model: nn.Module, partition: Partition, rank: int) -> tuple[LowRankModel, Partition]:
    """The model with modules of a partition straying in low rank, and these modules. Raises as `LowRankModel`."""
    strays = LowRankModel(model, partition, rank)
    return strays, strays.partition


def by_parameter_name(strays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strays by the names of what they belong to: `NAME`, or `NAME:up` and `NAME:down`."""
    return {name.removeprefix("strays.").replace("/", "."): value for name, value in strays.items()}


def multiply_out(factors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """What strays by own names change in parameters of these shapes.

    Raises UsageError where a factor lacks its partner, or where the two do not multiply to their parameter's shape; no
    product is computed before.
    """
    changes = {name: value for name, value in factors.items() if not name.endswith((UP, DOWN))}
    for name, value in factors.items():
        if name.endswith(DOWN) and name.removesuffix(DOWN) + UP not in factors:
            raise UsageError(f"the factor {printable(name)} stands alone")
        if name.endswith(UP):
            whole = name.removesuffix(UP)
            down = factors.get(whole + DOWN)
            if down is None:
                raise UsageError(f"the factor {printable(name)} stands alone")
            shape = tuple(shapes.get(whole, ()))
            rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (0, 0)
            rank = down.shape[0] if down.ndim == 2 else 0
            if not rank or tuple(value.shape) != (rows, rank) or tuple(down.shape) != (rank, columns):
                raise UsageError(f"the factors of {printable(whole)} do not multiply to its shape")
            changes[whole] = (value @ down).reshape(shape)
    return changes


def has_full_delta(value: Tensor, rank: int) -> bool:
    """Whether a parameter strays as it is: a vector, or a matrix that its factors would not be smaller than."""
    rows, columns = _shape(value)
    return value.ndim == 1 or rows * columns <= rank * (rows + columns)


def expected_delta_rms(value: Tensor, rank: int, sigma: float) -> float:
    """The root mean square that an entry of a parameter strays by, where what adapts does so by `sigma`.

    rank: 0 for whole. A matrix strays by the product of factors `(rows, rank)`, at 0, and `(rank, columns)`, at random
    of variance 1 / columns, that each stray by `sigma`.
    """
    if not rank or has_full_delta(value, rank):
        return sigma
    return sigma * (rank * (1 / _shape(value)[1] + sigma**2)) ** 0.5


def _shape(value: Tensor) -> tuple[int, int]:
    return len(value), value[0].numel() if value.ndim > 1 else 1
