"""A model's likelihood as a function of two vectors: what a task adapts, and what all tasks share.

A task is support data to adapt on and query data to score the adapted model on. What data is, only the loss knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta.parameters import Layout

LossFunction = Callable[[Callable[..., Any], Any], Tensor]
"""`loss(call, data)`: -log p(data | θ), a sum in nats, a scalar; `call` is the model with a task's parameters."""


@dataclass(frozen=True)
class Task:
    """Data of one task, such as a speaker's sentences."""

    support: Any
    query: Any = None
    draw: Callable[[int], Any] | None = None
    """Data of inner step k, where not all of the support is used in each; its loss must estimate the whole one."""
    name: str = ""

    def at(self, step: int) -> Any:
        """What inner step `step` sees."""
        return self.support if self.draw is None else self.draw(step)


@dataclass(frozen=True)
class Problem:
    """`nll` of a batch of tasks; other parameters than those laid out keep the model's own values.

    vectorised: tasks run side by side by `torch.func.vmap`, for models that allow it and data that are tensors, or
    tuples or dicts of them, of the same shapes for all tasks; otherwise they run one after another.
    """

    model: nn.Module
    loss: LossFunction
    adapted: Layout
    shared: Layout
    vectorised: bool = False

    @cached_property
    def _tied(self) -> bool:
        """Whether one parameter has several names, which the call then has to keep together."""
        names = [len(list(self.model.named_parameters(remove_duplicate=unique))) for unique in (True, False)]
        return names[0] != names[1]

    def nll(self, adapted: Tensor, shared: Tensor, data: Sequence[Any]) -> Tensor:
        """-log p(data_t | θ_t) of tasks with adapted parameters `(T, P)`, shared ones `(Q,)`: `(T,)` nats.

        Raises UsageError where the loss is not a scalar, or does not use the parameters.
        """
        if self.vectorised and len(data) > 1:
            run = torch.func.vmap(self._one, in_dims=(0, None, 0), randomness="different")
            return run(adapted, shared, stack_data(data))
        if len(data) == 1:  # views, whose derivatives copy nothing
            return self._one(adapted.squeeze(0), shared, data[0]).unsqueeze(0)
        return torch.stack([self._one(row, shared, item) for row, item in zip(adapted.unbind(0), data, strict=True)])

    def _one(self, adapted: Tensor, shared: Tensor, data: Any) -> Tensor:
        params = self.adapted.unflatten(adapted) | self.shared.unflatten(shared)
        called = False

        def call(*args: Any) -> Any:
            nonlocal called
            called = True
            return functional_call(self.model, params, args, tie_weights=self._tied)

        value = self.loss(call, data)
        if not called:  # its gradient would be zero, or that of the model's own weights
            raise UsageError("the loss must call the model by its first argument, which has the task's parameters")
        if not isinstance(value, Tensor) or value.ndim != 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(f"the loss must return a scalar tensor, the sum over the data; it returned {shape}")
        return value


def check_query(tasks: Sequence[Task]) -> None:
    """Raise TtsMetaError naming a task without query data, or where there are no tasks."""
    if not tasks:
        raise TtsMetaError("no tasks; a meta-step needs at least one")
    for number, task in enumerate(tasks):
        if task.query is None:
            raise TtsMetaError(f"task '{task.name or number}' has no query data; meta-learning scores adaptation on it")


def stack_data(data: Sequence[Any]) -> Any:
    """Data of several tasks with a leading task axis: tensors are stacked, in tuples and dicts too.

    Raises UsageError for anything else, or where tasks differ in more than values.
    """
    first = data[0]
    kinds = sorted({type(item).__name__ for item in data})
    if len(kinds) > 1:
        raise UsageError(_unlike(f"data of types {' and '.join(kinds)}"))
    if isinstance(first, Tensor):
        shapes = sorted({tuple(item.shape) for item in data})
        if len(shapes) > 1:
            raise UsageError(_unlike(f"tasks of different shapes {shapes}"))
        return torch.stack(list(data))
    if isinstance(first, Mapping):
        unlike = sorted({str(key) for item in data for key in item.keys() ^ first.keys()})
        if unlike:
            raise UsageError(_unlike(f"tasks of which some have no '{unlike[0]}'"))
        return {key: stack_data([item[key] for item in data]) for key in first}
    if isinstance(first, tuple):
        lengths = sorted({len(item) for item in data})
        if len(lengths) > 1:
            raise UsageError(_unlike(f"tuples of different lengths {lengths}"))
        parts = [stack_data(column) for column in zip(*data, strict=True)]
        return cast(Any, type(first))(*parts) if hasattr(first, "_fields") else tuple(parts)
    raise UsageError(_unlike(f"data of type {kinds[0]}"))


def _unlike(what: str) -> str:
    return f"{what} cannot run side by side; set vectorised=False"
