"""Partition: which parameter belongs to which module, one module a layer, or two.

A layer's biases, and the gains of the norm behind it, are less than a hundredth of it, and may stray from voice to
voice where its matrices do not (BitFit, Ben Zaken et al. 2022; the layer norms of AdaSpeech, Chen et al. 2021): where
voices are concerned they are a module of their own.

Meta-learning shrinks, cloning adapts and `inspect` lists modules, never single tensors. A module is a name and patterns
over parameter names (`fnmatch`); every parameter must belong to exactly one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError, UsageError


@dataclass(frozen=True)
class Module:
    """One part of a model that is adapted or shared as a whole: its name, kind and parameters' names, in order."""

    name: str
    kind: str
    parameters: tuple[str, ...]
    size: int

    @torch.no_grad()
    def root_mean_square(self, *tables: Mapping[str, Tensor]) -> float | None:
        """Of what the tables, weights or changes by parameter, hold of this module; None where they hold nothing."""
        own = [table[name].flatten() for table in tables for name in self.parameters if name in table]
        return float(torch.cat(own).square().mean().sqrt()) if own else None


@dataclass(frozen=True)
class Partition:
    """Modules that together hold every parameter of a model once."""

    modules: tuple[Module, ...]

    @classmethod
    def from_patterns(cls, model: nn.Module, patterns: Mapping[str, Sequence[str]]) -> Partition:
        """Assign the parameters of `model` by `{module name: patterns}`.

        Raises TtsMetaError naming a parameter in no module or in two, or a module that holds nothing.
        """
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        owners: dict[str, str] = {}
        for module, wanted in patterns.items():
            for name in sizes:
                if any(fnmatchcase(name, pattern) for pattern in wanted):
                    if name in owners:
                        raise TtsMetaError(f"parameter '{name}' is in two modules, '{owners[name]}' and '{module}'")
                    owners[name] = module
        missing = [name for name in sizes if name not in owners]
        if missing:
            raise TtsMetaError(f"parameter '{missing[0]}' is in no module of the partition")
        modules = []
        for module in patterns:
            members = tuple(name for name in sizes if owners[name] == module)
            if not members:
                raise TtsMetaError(f"module '{module}' of the partition matches no parameter")
            modules.append(Module(module, _kind(model, members), members, sum(sizes[name] for name in members)))
        return cls(tuple(modules))

    @classmethod
    def by_layer(cls, model: nn.Module, prefix: str = "", separate_biases: bool = False) -> Partition:
        """One module for each of torch's layers, or layers derived from them, LayerNorms with the layer before them.

        Parameters held directly by a container, or by a layer of another make, are a module each. `prefix` goes before
        every module's name. separate_biases: layer NAME is two modules, `NAME.weight`, its matrices, and `NAME.bias`,
        its vectors, where it has both.
        """
        patterns: dict[str, list[str]] = {}
        for name, layer in model.named_modules():
            own = [f"{name}.{key}".lstrip(".") for key, _ in layer.named_parameters(recurse=False)]
            if not own:
                continue
            if not name or not _is_layer(layer):
                patterns |= {key: [key] for key in own}
            elif isinstance(layer, nn.LayerNorm) and patterns:
                patterns[next(reversed(patterns))] += own
            else:
                patterns[name] = own
        if separate_biases:
            patterns = _biases_apart(model, patterns)
        partition = cls.from_patterns(model, patterns)
        named = []
        for module in partition.modules:
            parameters = tuple(prefix + name for name in module.parameters)
            named.append(Module(prefix + module.name, module.kind, parameters, module.size))
        return cls(tuple(named))

    def __add__(self, other: Partition) -> Partition:
        return Partition(self.modules + other.modules)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modules, in order."""
        return tuple(module.name for module in self.modules)

    def select(self, patterns: Iterable[str]) -> Partition:
        """The modules that match any pattern, or lie in what does: `decoder` is all of the decoder.

        Raises UsageError naming a pattern that matches none.
        """
        wanted = list(patterns)
        for pattern in wanted:
            if not any(_matches(name, pattern) for name in self.names):
                raise UsageError(f"no module matches '{pattern}'; modules: {', '.join(self.names)}")
        return Partition(tuple(m for m in self.modules if any(_matches(m.name, pattern) for pattern in wanted)))

    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters of these modules."""
        return tuple(name for module in self.modules for name in module.parameters)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _biases_apart(model: nn.Module, patterns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The same, the vectors of layers that have matrices too in a module of their own."""
    dimensions = {name: parameter.ndim for name, parameter in model.named_parameters()}
    apart: dict[str, list[str]] = {}
    for module, names in patterns.items():
        matrices, vectors = ([n for n in names if (dimensions[n] > 1) == matrix] for matrix in (True, False))
        apart |= (
            {f"{module}.weight": matrices, f"{module}.bias": vectors} if matrices and vectors else {module: [*names]}
        )
    return apart


def _kind(model: nn.Module, parameters: Sequence[str]) -> str:
    """What a module is: the class of the layer that holds its first parameter."""
    holder = model.get_submodule(parameters[0].rpartition(".")[0])
    return type(holder).__name__ if _is_layer(holder) and holder is not model else "Parameter"


def _is_layer(holder: nn.Module) -> bool:
    """Whether all parameters of a module belong together: it has no parts, and is or derives from a layer of torch."""
    bases = [base for base in type(holder).__mro__ if base.__module__.startswith("torch.nn.") and base is not nn.Module]
    return bool(bases) and not any(True for _ in holder.children())
