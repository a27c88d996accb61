"""`select_layouts`: chooses which modules of a partition adapt, and which are shared by all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from tts_meta.errors import UsageError
from tts_meta.meta.parameter_layout import ModuleLike, ParameterLayout

if TYPE_CHECKING:
    from tts_meta.meta.domain import Domain


@dataclass(frozen=True)
class _TrainableModule:
    """The parameters of a module that are not frozen."""

    name: str
    parameters: tuple[str, ...]


def select_layouts(
    domain: Domain, adapts: str, modules: Sequence[str] | None
) -> tuple[ParameterLayout, ParameterLayout]:
    """Return the layouts of the parameters that adapt and of the parameters that all tasks share.

    adapts: the role of the modules that adapt. modules: names of the modules that adapt; None takes those of the role.
    Frozen parameters are in neither layout.
    Raises UsageError if no module adapts, or if a module that must adapt is frozen.
    """
    model, partition = domain.model, domain.modules
    chosen = _adapted_modules(domain, adapts, modules)
    names = {module.name for module in chosen}
    trainable = drop_frozen(model, partition)
    frozen = names - {module.name for module in trainable}
    if frozen and (modules is not None or adapts != "all" or frozen == names):
        raise UsageError(f"module '{sorted(frozen)[0]}' has requires_grad=False; set it to True or adapt other modules")
    adapted = ParameterLayout.from_modules(model, [module for module in trainable if module.name in names])
    shared = ParameterLayout.from_modules(model, [module for module in trainable if module.name not in names])
    return adapted, shared


def _adapted_modules(domain: Domain, adapts: str, modules: Sequence[str] | None) -> list[ModuleLike]:
    if modules is None and adapts != "all":
        modules = domain.roles.get(adapts)
        if not modules:
            raise UsageError(f"this learner adapts only the {adapts}; name the modules of the {adapts} in roles")
    chosen = list(domain.modules) if modules is None else select_modules(domain.modules, modules)
    if not chosen:
        raise UsageError("no module adapts; name at least one module")
    return chosen


def drop_frozen(model: nn.Module, modules: Sequence[ModuleLike]) -> list[ModuleLike]:
    """Return the modules without parameters that have requires_grad=False, and without modules that are then empty.

    If no parameter of the model requires a gradient, all modules are returned unchanged: the model was loaded for
    inference.
    """
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    if len(frozen) == len(list(model.parameters())):
        return list(modules)
    trainable = []
    for module in modules:
        parameters = tuple(name for name in module.parameters if name not in frozen)
        if parameters:
            trainable.append(_TrainableModule(module.name, parameters))
    return trainable


def select_modules(modules: Sequence[ModuleLike], names: Iterable[str]) -> list[ModuleLike]:
    """Return the modules with these names, in the partition's order. Raises UsageError that names an unknown module."""
    wanted = set(names)
    unknown = wanted - {module.name for module in modules}
    if unknown:
        known = ", ".join(module.name for module in modules)
        raise UsageError(f"no module '{sorted(unknown)[0]}' in the partition; modules: {known}")
    return [module for module in modules if module.name in wanted]
