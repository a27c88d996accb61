"""What verbs share: all that they print, progress, checks of the output before any work, stages that are timed."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_meta.cli.streams import check_stdout, write_error
from tts_meta.errors import UsageError, one_line, printable
from tts_meta.files import check_writable

if TYPE_CHECKING:
    from rich.progress import Progress


_arguments: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


@contextmanager
def record_arguments(arguments: Sequence[str]) -> Iterator[None]:
    """Keep the program's arguments for `command_line` while the block runs."""
    token = _arguments.set(tuple(arguments))
    try:
        yield
    finally:
        _arguments.reset(token)


def command_line() -> str:
    """The command that runs, as it can be typed again; for logs."""
    return shlex.join(("tts-meta", *_arguments.get()))


def print_message(line: str) -> None:
    """Print a line beside the result, on stderr."""
    write_error(f"tts-meta: {one_line(line)}")


def print_text(text: str = "", end: str = "\n") -> None:
    """Print a result on stdout; what a terminal would obey is shown as escapes."""
    print("\n".join(map(printable, text.split("\n"))), end=end)


def print_on_first_rank(result: object) -> None:
    """Print a result; of the processes of `torchrun` the first does."""
    if os.environ.get("RANK", "0") == "0":
        print_text(str(result))


def print_warning(line: str) -> None:
    """Print a warning."""
    print_message(f"warning: {line}")


def print_json(data: dict[str, Any]) -> None:
    """Print a result as JSON for another program."""
    check_stdout("the JSON")
    print(json.dumps(data, indent=2, allow_nan=False))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns of text as wide as they need to be, those numbered in `right` flush right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = []
    for row in [heads, ["-" * width for width in widths], *rows]:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def check_output(path: Path, suffix: str, force: bool) -> None:
    """Refuse, before any work, an output that could not be written at the end or would overwrite something.

    Raises UsageError for a name without `suffix`, in small or capital letters, and as `check_new_file`.
    """
    if not path.name.lower().endswith(suffix) or path.name.lower() == suffix:
        raise UsageError(f"{path}: the output must be named NAME{suffix}")
    check_new_file(path, force)


def check_new_file(path: Path, force: bool) -> None:
    """Raise UsageError for a folder and for a file that exists (unless `force`), TtsMetaError as `check_writable`.

    A missing folder is made when the file is written.
    """
    if path.is_dir():
        raise UsageError(f"{path}: a folder; name a file")
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; choose another name, or overwrite it with --force")
    check_writable(path)


@contextmanager
def progress_bar(what: str) -> Iterator[ProgressBar]:
    """A bar on stderr where that is a terminal, nothing elsewhere; it is gone when the work is done."""
    if not sys.stderr.isatty():
        yield ProgressBar(None, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    note = TextColumn("{task.fields[note]}")
    with Progress(*columns, note, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        yield ProgressBar(progress, progress.add_task(what, total=None, note=""))


class ProgressBar:
    """Where `progress_bar` is moved; a call costs nothing where there is no terminal."""

    def __init__(self, progress: Progress | None, task: Any) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show `done` steps of `total`, and a note beside them."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)


class StageTimer:
    """Seconds by stage, in the order they were first measured."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage."""
        began = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds measured elsewhere."""
        self.stages[name] = self.stages.get(name, 0.0) + seconds

    @property
    def total(self) -> float:
        """Seconds since the start of the program."""
        return time.perf_counter() - self.started
