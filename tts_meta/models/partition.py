"""`Partition`: assigns every parameter of a model to a named module, usually one module per layer.

Meta-learning learns a prior for each module, cloning adapts modules, and `inspect` lists modules, never single tensors.
A module has a name and patterns over parameter names (`fnmatch`). Every parameter belongs to exactly one module.

Chen et al. (2020) have one module per layer. The vectors of a layer (its biases, and the gains of the norm after it)
are less than a hundredth of its parameters. They can differ between voices although the matrices do not (BitFit, Ben
Zaken et al. 2022; conditional layer norm of AdaSpeech, Chen et al. 2021). The default of meta-learning and cloning is
therefore the granularity `matrix`: two modules per layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError, UsageError

Granularity = Literal["layer", "matrix", "parameter"]
"""Size of the modules.

layer: one module per layer. matrix: the matrices of a layer are a module, and its vectors are another. parameter: each
parameter is a module, so the input matrix and the recurrent matrix of an LSTM are two.
"""
DEFAULT_GRANULARITY: Granularity = "matrix"
"""Granularity of the modules of meta-learning and cloning."""


@dataclass(frozen=True)
class Module:
    """A part of a model that is adapted or shared as a unit: name, kind, parameter names in order, number of values."""

    name: str
    kind: str
    parameters: tuple[str, ...]
    size: int

    @torch.no_grad()
    def root_mean_square(self, *tables: Mapping[str, Tensor]) -> float | None:
        """Return the root mean square over all values of this module in the tables (weights or deltas by name).

        The result is None if the tables contain no parameter of this module.
        """
        values = [table[name].flatten() for table in tables for name in self.parameters if name in table]
        return float(torch.cat(values).square().mean().sqrt()) if values else None


@dataclass(frozen=True)
class Partition:
    """Modules that contain parameters of a model; each parameter is in one module."""

    modules: tuple[Module, ...]

    @classmethod
    def from_patterns(cls, model: nn.Module, patterns: Mapping[str, Sequence[str]]) -> Partition:
        """Assign the parameters of `model` by `{module name: patterns}`.

        Raises TtsMetaError for a parameter in no module or in two modules, and for a module without parameters.
        """
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        owners: dict[str, str] = {}
        for module, module_patterns in patterns.items():
            for name in sizes:
                if any(fnmatchcase(name, pattern) for pattern in module_patterns):
                    if name in owners:
                        raise TtsMetaError(
                            f"parameter '{name}' is in two modules, '{owners[name]}' and '{module}'; keep it in one"
                        )
                    owners[name] = module
        missing = [name for name in sizes if name not in owners]
        if missing:
            raise TtsMetaError(f"parameter '{missing[0]}' is in no module of the partition; add it to a pattern")
        modules = []
        for module in patterns:
            members = tuple(name for name in sizes if owners[name] == module)
            if not members:
                raise TtsMetaError(f"module '{module}' of the partition matches no parameter; correct its patterns")
            modules.append(Module(module, _kind(model, members), members, sum(sizes[name] for name in members)))
        return cls(tuple(modules))

    @classmethod
    def by_layer(cls, model: nn.Module, prefix: str = "", granularity: Granularity = "layer") -> Partition:
        """Return a partition with one module for each layer whose class is a layer of torch or a subclass of one.

        A LayerNorm belongs to the module of the previous layer. Each parameter that belongs directly to a container or
        to another kind of layer is a module. prefix: goes before the names of all modules and parameters.
        granularity: with `matrix`, a layer NAME with matrices and vectors becomes two modules, `NAME.weight` (the
        matrices) and `NAME.bias` (the vectors). With `parameter`, each parameter is a module of the same name.
        """
        patterns: dict[str, list[str]] = {}
        for name, layer in model.named_modules():
            parameters = [f"{name}.{key}".lstrip(".") for key, _ in layer.named_parameters(recurse=False)]
            if not parameters:
                continue
            if not name or not _is_layer(layer):
                patterns |= {key: [key] for key in parameters}
            elif isinstance(layer, nn.LayerNorm) and patterns:
                patterns[next(reversed(patterns))] += parameters
            else:
                patterns[name] = parameters
        if granularity == "matrix":
            patterns = _separate_biases(model, patterns)
        elif granularity == "parameter":
            patterns = {name: [name] for name, _ in model.named_parameters()}
        partition = cls.from_patterns(model, patterns)
        modules = []
        for module in partition.modules:
            names = tuple(prefix + name for name in module.parameters)
            modules.append(Module(prefix + module.name, module.kind, names, module.size))
        return cls(tuple(modules))

    def __add__(self, other: Partition) -> Partition:
        return Partition(self.modules + other.modules)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modules, in order."""
        return tuple(module.name for module in self.modules)

    def select(self, patterns: Iterable[str]) -> Partition:
        """Return the modules whose name matches a pattern, or begins with a match and a dot.

        `decoder` therefore selects all modules of the decoder. Raises UsageError for a pattern that matches no module.
        """
        patterns = list(patterns)
        for pattern in patterns:
            if not any(_matches(name, pattern) for name in self.names):
                raise UsageError(f"no module matches '{pattern}'; modules: {', '.join(self.names)}")
        return Partition(tuple(m for m in self.modules if any(_matches(m.name, pattern) for pattern in patterns)))

    def parameters(self) -> tuple[str, ...]:
        """Return the names of all parameters of these modules."""
        return tuple(name for module in self.modules for name in module.parameters)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _separate_biases(model: nn.Module, patterns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Split every module that has matrices and vectors into `NAME.weight` and `NAME.bias`."""
    dimensions = {name: parameter.ndim for name, parameter in model.named_parameters()}
    separate: dict[str, list[str]] = {}
    for module, names in patterns.items():
        matrices = [name for name in names if dimensions[name] > 1]
        vectors = [name for name in names if dimensions[name] <= 1]
        if matrices and vectors:
            separate |= {f"{module}.weight": matrices, f"{module}.bias": vectors}
        else:
            separate[module] = [*names]
    return separate


def _kind(model: nn.Module, parameters: Sequence[str]) -> str:
    """Return the class of the layer of a module's first parameter, or `Parameter` if the parameter is in no layer."""
    holder = model.get_submodule(parameters[0].rpartition(".")[0])
    return type(holder).__name__ if _is_layer(holder) and holder is not model else "Parameter"


def _is_layer(holder: nn.Module) -> bool:
    """Return whether `holder` is a layer: it has no children, and its class is a torch layer or a subclass of one."""
    bases = [base for base in type(holder).__mro__ if base.__module__.startswith("torch.nn.") and base is not nn.Module]
    return bool(bases) and not any(True for _ in holder.children())
