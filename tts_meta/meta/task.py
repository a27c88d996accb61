"""`Task`: the support and query data of one task; and the stacking of data of several tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, cast

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta.seeding import seeded


@dataclass(frozen=True)
class Task:
    """Data of one task, such as the sentences of one speaker. The type of the data matters only to the loss."""

    support: Any
    """Data that the model adapts to."""
    query: Any = None
    """Data that the adapted model is scored on; needed in meta-training, not in adaptation."""
    draw: Callable[[int], Any] | None = None
    """A function from inner step k to the data of this step, if a step uses only part of the support.

    The loss of the part must estimate the loss of the whole support. `draw` must be a function of k alone, because it
    is called in any order and more than once. `draw` may use the global generators of torch, NumPy and Python, which
    are seeded before each call.
    """
    name: str = ""

    def at(self, step: int, seed: int = 0) -> Any:
        """Return the data of inner step `step`. The global generators are seeded with `seed` while `draw` runs."""
        if self.draw is None:
            return self.support
        with seeded(seed):
            return self.draw(step)


TaskBuilder = Callable[[], Task | None]
"""A function that loads the data of a task; it returns None if none of the data can be used."""


def build_tasks(tasks: Sequence[Task | TaskBuilder]) -> list[Task]:
    """Return the tasks, and call each function that builds one; a task without usable data is left out."""
    built = (task if isinstance(task, Task) else task() for task in tasks)
    return [task for task in built if task is not None]


def check_query(tasks: Sequence[Task | TaskBuilder]) -> None:
    """Raise TtsMetaError if a task has no query data; the message names the task. Builders are not called."""
    for number, task in enumerate(tasks):
        if isinstance(task, Task) and task.query is None:
            raise TtsMetaError(f"task '{task.name or number}' has no query data; give data to score the adaptation on")


def without_inference_tensors(data: Any) -> Any:
    """Return the data with a copy of each tensor made under `torch.inference_mode`; autograd cannot save such tensors.

    Tuples, lists, dicts and dataclasses are searched. Anything else is returned unchanged.
    """
    if isinstance(data, Tensor):
        return data.clone() if data.is_inference() else data
    if isinstance(data, Mapping):
        items = {key: without_inference_tensors(value) for key, value in data.items()}
        return items if any(items[key] is not data[key] for key in items) else data
    if isinstance(data, tuple | list):
        values = [without_inference_tensors(value) for value in data]
        if all(new is old for new, old in zip(values, data, strict=True)):
            return data
        return cast(Any, type(data))(*values) if hasattr(data, "_fields") else type(data)(values)
    if is_dataclass(data) and not isinstance(data, type):
        fields = vars(data) if hasattr(data, "__dict__") else {}
        copied = {key: without_inference_tensors(value) for key, value in fields.items()}
        changed = {key: value for key, value in copied.items() if value is not fields[key]}
        if changed:
            data = copy.copy(data)
            for key, value in changed.items():
                object.__setattr__(data, key, value)
    return data


def stack_data(data: Sequence[Any]) -> Any:
    """Return the data of several tasks with a leading task axis: tensors are stacked, also inside tuples and dicts.

    Raises UsageError for other types, or if tasks differ in more than their values.
    """
    first = data[0]
    types = sorted({type(item).__name__ for item in data})
    if len(types) > 1:
        raise UsageError(_cannot_stack(f"data of types {' and '.join(types)}"))
    if isinstance(first, Tensor):
        shapes = sorted({tuple(item.shape) for item in data})
        if len(shapes) > 1:
            raise UsageError(_cannot_stack(f"tasks of different shapes {shapes}"))
        return torch.stack(list(data))
    if isinstance(first, Mapping):
        missing = sorted({str(key) for item in data for key in item.keys() ^ first.keys()})
        if missing:
            raise UsageError(_cannot_stack(f"tasks with and without the key '{missing[0]}'"))
        return {key: stack_data([item[key] for item in data]) for key in first}
    if isinstance(first, tuple):
        lengths = sorted({len(item) for item in data})
        if len(lengths) > 1:
            raise UsageError(_cannot_stack(f"tuples of different lengths {lengths}"))
        columns = [stack_data(column) for column in zip(*data, strict=True)]
        return cast(Any, type(first))(*columns) if hasattr(first, "_fields") else tuple(columns)
    raise UsageError(_cannot_stack(f"data of type {types[0]}"))


def _cannot_stack(what: str) -> str:
    return f"{what} cannot run in parallel; set vectorised=False"
