"""`ParameterLayout`: converts a model's parameters by name to one vector, and back.

Inner solvers, priors and meta-gradients work on one vector per task. Only the model uses tensors with names. A matrix
`(T, P)` contains the vectors of T tasks, one per row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError

Params = dict[str, Tensor]


class ModuleLike(Protocol):
    """A named group of parameters, such as `tts_meta.models.partition.Module`."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class ParameterLayout:
    """The position of each parameter of some modules in a vector of P values; a module's parameters are contiguous."""

    modules: tuple[str, ...]
    """Names of the modules, M of them, in the vector's order."""
    names: tuple[tuple[str, ...], ...]
    """Names of each module's parameters."""
    shapes: Mapping[str, torch.Size]
    """Shape of each parameter, in the vector's order."""

    @classmethod
    def from_modules(cls, model: nn.Module, modules: Iterable[ModuleLike]) -> ParameterLayout:
        """Return the layout of some modules of a model.

        Raises TtsMetaError that names the fault: a module without parameters, two modules with the same name, a
        parameter in two modules, or a parameter that is not in the model.
        """
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        owners: dict[str, str] = {}
        chosen = list(modules)
        seen: set[str] = set()
        for module in chosen:
            if module.name in seen:
                raise TtsMetaError(f"two modules have the name '{module.name}'; give each module a unique name")
            seen.add(module.name)
            if not module.parameters:
                raise TtsMetaError(f"module '{module.name}' has no parameters; leave it out of the partition")
            for name in module.parameters:
                if name not in shapes:
                    raise TtsMetaError(
                        f"parameter '{name}' of module '{module.name}' is not in the model; correct the partition"
                    )
                if name in owners:
                    raise TtsMetaError(
                        f"parameter '{name}' is in two modules, '{owners[name]}' and '{module.name}'; keep it in one"
                    )
                owners[name] = module.name
        return cls(
            tuple(module.name for module in chosen),
            tuple(module.parameters for module in chosen),
            {name: shapes[name] for name in owners},
        )

    @cached_property
    def _lengths(self) -> list[int]:
        """Number of values of each parameter, in the order of `shapes`."""
        return [math.prod(shape) for shape in self.shapes.values()]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each module, `(M,)`."""
        return tuple(sum(math.prod(self.shapes[name]) for name in names) for names in self.names)

    @property
    def size(self) -> int:
        """Length P of the vector."""
        return sum(self.sizes)

    def flatten(self, params: Mapping[str, Tensor]) -> Tensor:
        """Return tensors by name as a vector `(P,)`, or as `(T, P)` if every tensor has a leading axis T."""
        if not self.shapes:
            return torch.zeros(0)
        first = next(iter(self.shapes))  # `params` may have another order
        lead = params[first].ndim - len(self.shapes[first])
        rows = [params[name].reshape(*params[name].shape[:lead], -1) for names in self.names for name in names]
        return torch.cat(rows, -1)

    def unflatten(self, vector: Tensor) -> Params:
        """Return a vector `(P,)` or `(T, P)` as tensors by name. The tensors are views of the vector."""
        if not self.shapes:
            return {}
        lead, parts = vector.shape[:-1], vector.split_with_sizes(self._lengths, -1)
        return {
            name: part if len(shape) == 1 else part.reshape(lead + shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def expand_modules(self, values: Tensor) -> Tensor:
        """Repeat one value per module `(M,)` for each of the module's parameters, `(P,)`; differentiable."""
        repeats = torch.tensor(self.sizes, device=values.device)
        return values.repeat_interleave(repeats, output_size=self.size)

    def sum_modules(self, vector: Tensor) -> Tensor:
        """Return the sum over the parameters of each module: `(..., P)` to `(..., M)`."""
        return torch.stack([part.sum(-1) for part in vector.split(self.sizes, -1)], -1)


NO_PARAMETERS = ParameterLayout((), (), {})
"""The layout of an empty vector."""


def parameter_vector(model: nn.Module, layout: ParameterLayout) -> Tensor:
    """Return a copy of the model's values as a vector `(P,)`."""
    values = {name: value.detach() for name, value in model.named_parameters() if name in layout.shapes}
    # A layout without modules gives an empty vector, which still needs the model's precision and device.
    return layout.flatten(values).to(next(model.parameters())).clone()
