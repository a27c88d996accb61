"""Parameters as vectors: the modules of a model laid end to end, and back.

Solvers, priors and meta-gradients work on one vector a task; only the model sees tensors with names. A leading axis T
holds several tasks, each a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError, UsageError

Params = dict[str, Tensor]


class ModuleLike(Protocol):
    """A named group of parameters, such as `tts_meta.models.partition.Module`."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Layout:
    """Where each parameter of some modules lies in a vector of P values; a module's parameters lie side by side."""

    modules: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    """Names of each module's parameters."""
    shapes: Mapping[str, torch.Size]

    @classmethod
    def of(cls, model: nn.Module, modules: Iterable[ModuleLike]) -> Layout:
        """Lay out modules of a model.

        Raises TtsMetaError naming a module without parameters, two modules of one name, a parameter in two modules or
        one the model lacks.
        """
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        owners: dict[str, str] = {}
        chosen = list(modules)
        seen: set[str] = set()
        for module in chosen:
            if module.name in seen:
                raise TtsMetaError(f"two modules are called '{module.name}'; give each a name of its own")
            seen.add(module.name)
            if not module.parameters:
                raise TtsMetaError(f"module '{module.name}' has no parameters; leave it out of the partition")
            for name in module.parameters:
                if name not in shapes:
                    raise TtsMetaError(f"parameter '{name}' of module '{module.name}' is not in the model")
                if name in owners:
                    raise TtsMetaError(f"parameter '{name}' is in two modules, '{owners[name]}' and '{module.name}'")
                owners[name] = module.name
        return cls(
            tuple(module.name for module in chosen),
            tuple(module.parameters for module in chosen),
            {name: shapes[name] for name in owners},
        )

    @cached_property
    def _lengths(self) -> list[int]:
        """Values of each parameter, in the vector's order, which is that of `shapes`."""
        return [math.prod(shape) for shape in self.shapes.values()]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Parameters in each module, `(M,)`."""
        return tuple(sum(math.prod(self.shapes[name]) for name in names) for names in self.names)

    @property
    def size(self) -> int:
        """Length P of the vector."""
        return sum(self.sizes)

    def flatten(self, params: Mapping[str, Tensor]) -> Tensor:
        """Tensors by name to a vector `(P,)`, or `(T, P)` where every tensor has a leading axis T."""
        if not self.shapes:
            return torch.zeros(0)
        first = next(iter(self.shapes))  # `params` may be in another order
        lead = params[first].ndim - len(self.shapes[first])
        rows = [params[name].reshape(*params[name].shape[:lead], -1) for names in self.names for name in names]
        return torch.cat(rows, -1)

    def unflatten(self, vector: Tensor) -> Params:
        """A vector `(P,)` or `(T, P)` to tensors by name, as views."""
        if not self.shapes:
            return {}
        lead, parts = vector.shape[:-1], vector.split_with_sizes(self._lengths, -1)
        return {
            name: part if len(shape) == 1 else part.reshape(lead + shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def spread(self, values: Tensor) -> Tensor:
        """One value a module `(M,)` to one a parameter `(P,)`; differentiable."""
        repeats = torch.tensor(self.sizes, device=values.device)
        return values.repeat_interleave(repeats, output_size=self.size)

    def sum_modules(self, vector: Tensor) -> Tensor:
        """Sums over each module: `(..., P)` to `(..., M)`."""
        return torch.stack([part.sum(-1) for part in vector.split(self.sizes, -1)], -1)


def parameters_of(model: nn.Module, layout: Layout) -> Tensor:
    """The model's own values as a vector `(P,)`, a copy."""
    values = {name: value.detach() for name, value in model.named_parameters() if name in layout.shapes}
    # Of no modules, a vector of no values, but of the model's own precision and device.
    return layout.flatten(values).to(next(model.parameters())).clone()


@dataclass(frozen=True)
class _Rest:
    """What is left of a module."""

    name: str
    parameters: tuple[str, ...]


def without_frozen(model: nn.Module, modules: Sequence[ModuleLike]) -> list[ModuleLike]:
    """The modules without parameters that have requires_grad=False; those of which nothing is left are not there.

    Where no parameter of the model requires a gradient, the modules as they are.
    """
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    if len(frozen) == len(list(model.parameters())):
        return list(modules)
    rest = (_Rest(module.name, tuple(n for n in module.parameters if n not in frozen)) for module in modules)
    return [module for module in rest if module.parameters]


def match_modules(modules: Sequence[ModuleLike], names: Iterable[str]) -> list[ModuleLike]:
    """The modules of these names, in the partition's order. Raises UsageError naming one that does not exist."""
    wanted = set(names)
    unknown = wanted - {module.name for module in modules}
    if unknown:
        known = ", ".join(module.name for module in modules)
        raise UsageError(f"no module '{sorted(unknown)[0]}' in the partition; modules: {known}")
    return [module for module in modules if module.name in wanted]
