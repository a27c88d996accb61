"""`WarmStarts`: the last solutions of tasks, from which their next inner loops start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from tts_meta.errors import UsageError
from tts_meta.meta.task import Task


class WarmStarts:
    """The displacements δ of tasks after their last inner loops, by the names of the tasks, on the CPU.

    A task that comes again is solved from there. If the meta-parameters changed little, a few steps then reach the
    minimum. Under `torchrun` each process must call `exchange` after each meta-step.
    """

    def __init__(self) -> None:
        self.displacements: dict[str, Tensor] = {}
        self._new: dict[str, Tensor] = {}

    def start(self, tasks: Sequence[Task], like: Tensor) -> Tensor:
        """Return δ `(T, P)` of the first step, 0 for a new task. like: φ `(P,)`.

        Raises UsageError for a task without a name.
        """
        if not all(task.name for task in tasks):
            raise UsageError("warm_start needs tasks with names; give each task a name, or set warm_start to false")
        rows = [self.displacements.get(task.name) for task in tasks]
        return torch.stack([torch.zeros_like(like) if row is None else row.to(like) for row in rows])

    def keep(self, tasks: Sequence[Task], displacement: Tensor) -> None:
        """Store δ `(T, P)`. A row that is not finite is left out."""
        for task, row in zip(tasks, displacement.detach(), strict=True):
            if bool(row.isfinite().all()):
                self._new[task.name] = row.cpu().clone()
        if not dist.is_initialized():
            self.exchange()

    def exchange(self) -> None:
        """Give the new solutions of each process to all processes."""
        if dist.is_initialized():
            parts: list[dict[str, Tensor]] = [{}] * dist.get_world_size()
            dist.all_gather_object(parts, self._new)
        else:
            parts = [self._new]
        for part in parts:
            self.displacements |= part
        self._new = {}

    def load(self, displacements: Mapping[str, Tensor], size: int) -> None:
        """Replace all solutions by those of a checkpoint, `(size,)` each. Raises UsageError for another size."""
        for name, value in displacements.items():
            if value.shape != (size,):
                raise UsageError(f"the solution of task '{name}' has the shape {tuple(value.shape)}, not ({size},)")
        self.displacements, self._new = dict(displacements), {}
