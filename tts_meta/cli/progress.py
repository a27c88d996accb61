"""Progress of long work: a bar on the terminal, and seconds per stage for `--profile`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressBar]:
    """A bar on stderr, removed at the end of the block; nothing is printed if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield ProgressBar(None, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    note = TextColumn("{task.fields[note]}")
    with Progress(*columns, note, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        yield ProgressBar(progress, progress.add_task(description, total=None, note=""))


class ProgressBar:
    """The handle of `progress_bar`; without a terminal its updates do nothing."""

    def __init__(self, progress: Progress | None, task: Any) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show `done` of `total` steps, and a note after the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)


class StageTimer:
    """Seconds per stage, in the order in which the stages were first measured."""

    def __init__(self, start_time: float) -> None:
        self.start_time = start_time
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere to a stage."""
        self.stages[name] = self.stages.get(name, 0.0) + seconds

    @property
    def total(self) -> float:
        """Seconds since `start_time`."""
        return time.perf_counter() - self.start_time
