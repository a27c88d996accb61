"""The form of the files of a learner (`saved_learner.py`): the header `learner.json`, and the faults of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from tts_meta.errors import excerpt
from tts_meta.headers import Count, Digest, Header, Name
from tts_meta.models.partition import DEFAULT_GRANULARITY, Granularity
from tts_meta.parsing import is_printable

LOG_VARIANCES, STEP_SIZES, SIGMA_HISTORY = "log_variances", "step_sizes", "history/sigma"
_MAX_TENSORS, _MAX_NAME = 10_000, 500
_Modules = Annotated[list[Name], Field(max_length=10_000)]
Model = Literal["acoustic", "vocoder"]
"""The model that a learner adapts."""


class LearnerHeader(Header):
    """The content of `learner.json`; `SavedLearner` describes the keys."""

    learner: Annotated[str, Field(min_length=1, max_length=100)]
    version: Annotated[int, Field(ge=1, le=10**6)]
    settings: dict[Name, Any]
    model: Model
    weights_hash: Digest
    modules: _Modules
    shared: _Modules
    rank: Annotated[int, Field(ge=0, le=10_000)]
    granularity: Granularity = DEFAULT_GRANULARITY
    meta_steps: Count
    adapted_modules: _Modules
    prior_scale: Annotated[float, Field(gt=0)]
    origin: dict[Name, Any]
    tensors_hash: Digest

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [*self.modules, *self.shared]
        if len(set(names)) < len(names):
            raise ValueError("a module is named twice")
        unknown = sorted(set(self.adapted_modules) - set(self.modules))
        if unknown:
            raise ValueError(f"the module '{unknown[0]}' of adapted_modules is not in modules")
        return self


def tensor_fault(tensors: Mapping[str, Tensor], modules: int) -> str | None:
    """Return the first fault of the tensors of a learner with M = `modules` modules, or None.

    A value is NaN, or infinite (allowed: +inf in `log_variances`). `log_variances` is not `(M,)`, or a variance is not
    a positive number. `step_sizes` is not `()`, `(P,)` or `(M, K)`. `history/sigma` is not `(K, M)` and positive. There
    are too many tensors, or a name is empty, too long or not printable.
    """
    if len(tensors) > _MAX_TENSORS:
        return f"more than {_MAX_TENSORS} tensors"
    for name, tensor in tensors.items():
        if not (0 < len(name) <= _MAX_NAME and is_printable(name)):
            return f"the tensor '{excerpt(name)}' has no usable name"
        if name in (LOG_VARIANCES, STEP_SIZES, SIGMA_HISTORY) and not tensor.is_floating_point():
            return f"{name} has the dtype {tensor.dtype}"
        invalid = tensor.isnan() if name == LOG_VARIANCES else ~tensor.isfinite()
        if bool(invalid.any()):
            return f"{excerpt(name)} contains values that are not finite"
    return _shape_fault({name: tuple(tensor.shape) for name, tensor in tensors.items()}, modules) or _value_fault(
        tensors
    )


def _shape_fault(shapes: Mapping[str, tuple[int, ...]], modules: int) -> str | None:
    if shapes.get(LOG_VARIANCES, (modules,)) != (modules,):
        return f"{LOG_VARIANCES} is not one value for each of {modules} modules"
    step_sizes, history = shapes.get(STEP_SIZES, ()), shapes.get(SIGMA_HISTORY, (1, modules))
    if len(step_sizes) > 2 or (len(step_sizes) == 2 and step_sizes[0] != modules):
        return f"{STEP_SIZES} is not one row for each of {modules} modules"
    if len(history) != 2 or history[1] != modules:
        return f"{SIGMA_HISTORY} is not one column for each of {modules} modules"
    return None


def _value_fault(tensors: Mapping[str, Tensor]) -> str | None:
    if (log_variances := tensors.get(LOG_VARIANCES)) is not None:
        variances = log_variances.double().exp()
        valid = (log_variances > 0) & log_variances.isinf() | (variances > 0) & variances.isfinite()
        if not bool(valid.all()):
            return f"{LOG_VARIANCES} contains variances that are not positive numbers"
    if (history := tensors.get(SIGMA_HISTORY)) is not None and bool((history <= 0).any()):
        return f"{SIGMA_HISTORY} contains deviations that are not positive"
    return None
