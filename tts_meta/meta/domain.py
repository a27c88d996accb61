"""A model's likelihood as a function of two vectors: what a task adapts, and what all tasks share.

A task is support data to adapt on and query data to score the adapted model on. What data is, only the loss knows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta.held import Held, copy_of
from tts_meta.meta.parameters import Layout, Params
from tts_meta.meta.seeding import combine, seeded, seeded_torch

LossFunction = Callable[[Callable[..., Any], Any], Tensor]
"""`loss(call, data)`: -log p(data | θ), a sum in nats, a scalar; `call` is the model with a task's parameters, and
takes what the model takes.
"""


@dataclass(frozen=True)
class Task:
    """Data of one task, such as a speaker's sentences."""

    support: Any
    query: Any = None
    draw: Callable[[int], Any] | None = None
    """Data of inner step k, where not all of the support is used in each; its loss must estimate the whole one.

    A function of k alone: it is called in any order and more than once. What it draws from the global generators of
    torch, NumPy and Python is made so.
    """
    name: str = ""

    def at(self, step: int, seed: int = 0) -> Any:
        """What inner step `step` sees. A `draw` that uses the global generators finds them at `seed`."""
        if self.draw is None:
            return self.support
        with seeded(seed):
            return self.draw(step)


@dataclass(frozen=True)
class Problem:
    """`nll` of a batch of tasks; other parameters than those laid out keep the values in `held`, or the model's own.

    vectorised: tasks run side by side by `torch.func.vmap`, for models that allow it and data that are tensors, or
    tuples or dicts of them, of the same shapes for all tasks; otherwise they run one after another.
    held: the fixed values of the model; None reads them from the model, whose buffers are copied for each call.
    """

    model: nn.Module
    loss: LossFunction
    adapted: Layout
    shared: Layout
    vectorised: bool = False
    held: Held | None = None

    @cached_property
    def _tied(self) -> bool:
        """Whether one parameter has several names, which the call then has to keep together."""
        names = [len(list(self.model.named_parameters(remove_duplicate=unique))) for unique in (True, False)]
        return names[0] != names[1]

    @cached_property
    def _buffer_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.model.named_buffers())

    def nll(self, adapted: Tensor, shared: Tensor, data: Sequence[Any], seed: int = 0) -> Tensor:
        """-log p(data_t | θ_t) of tasks with adapted parameters `(T, P)`, shared ones `(Q,)`: `(T,)` nats.

        What the model and the loss draw from torch's generators is a function of `seed` alone, the same for each task,
        so that tasks side by side draw what each alone does. Raises UsageError where the loss is not a scalar, or does
        not use the parameters.
        """
        if self.vectorised and len(data) > 1:
            run = torch.func.vmap(self._one, in_dims=(0, None, 0, None, 0), randomness="same")
            stacked, buffers = stack_data([usable(item) for item in data]), self._buffers(len(data))
            with seeded_torch(seed, adapted.device):
                return run(adapted, shared, stacked, self._held(), buffers)
        if len(data) == 1:  # views, whose derivatives copy nothing
            return self._seeded(adapted.squeeze(0), shared, data[0], seed).unsqueeze(0)
        rows = zip(adapted.unbind(0), data, strict=True)
        return torch.stack([self._seeded(row, shared, item, seed) for row, item in rows])

    def step_nll(self, adapted: Tensor, shared: Tensor, tasks: Sequence[Task], step: int, seed: int = 0) -> Tensor:
        """`nll` of what inner step `step` sees of the tasks; all that is drawn is a function of `seed` and `step`."""
        own = combine(seed, step)
        return self.nll(adapted, shared, [task.at(step, combine(own, 1)) for task in tasks], own)

    def _seeded(self, adapted: Tensor, shared: Tensor, data: Any, seed: int) -> Tensor:
        with seeded_torch(seed, adapted.device):
            return self._one(adapted, shared, usable(data), self._held(), self._buffers())

    def _held(self) -> Params:
        return {} if self.held is None else self.held.parameters_by_name()

    def _buffers(self, tasks: int | None = None) -> Params:
        if self.held is not None:
            return self.held.buffers_by_name(tasks)
        return {name: copy_of(self.model.get_buffer(name), tasks) for name in self._buffer_names}

    def _one(self, adapted: Tensor, shared: Tensor, data: Any, held: Params, buffers: Params) -> Tensor:
        params = held | buffers | self.adapted.unflatten(adapted) | self.shared.unflatten(shared)
        called = False

        def call(*args: Any, **named: Any) -> Any:
            nonlocal called
            called = True
            return functional_call(self.model, params, args, named, tie_weights=self._tied)

        value = self.loss(call, data)
        if not called:  # its gradient would be zero, or that of the model's own weights
            raise UsageError("the loss must call the model by its first argument, which has the task's parameters")
        if not isinstance(value, Tensor) or value.ndim != 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(f"the loss must return a scalar tensor, the sum over the data; it returned {shape}")
        return value


def usable(data: Any) -> Any:
    """Data whose tensors autograd may save: those made under `torch.inference_mode` are copied.

    Looks into tuples, lists, dicts and dataclasses; anything else stays as it is.
    """
    if isinstance(data, Tensor):
        return data.clone() if data.is_inference() else data
    if isinstance(data, Mapping):
        found = {key: usable(value) for key, value in data.items()}
        return found if any(found[key] is not data[key] for key in found) else data
    if isinstance(data, tuple | list):
        items = [usable(value) for value in data]
        if all(one is other for one, other in zip(items, data, strict=True)):
            return data
        return cast(Any, type(data))(*items) if hasattr(data, "_fields") else type(data)(items)
    if is_dataclass(data) and not isinstance(data, type):
        own = vars(data) if hasattr(data, "__dict__") else {}
        changed = {key: value for key, value in ((k, usable(v)) for k, v in own.items()) if value is not own[key]}
        if changed:
            data = copy.copy(data)
            for key, value in changed.items():
                object.__setattr__(data, key, value)
    return data


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
