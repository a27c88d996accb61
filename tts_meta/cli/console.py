"""Everything that verbs print: results on stdout, messages on stderr, tables, and the command line for logs."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tts_meta.cli.streams import check_stdout, write_error
from tts_meta.errors import one_line, printable

_arguments: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


@contextmanager
def record_arguments(arguments: Sequence[str]) -> Iterator[None]:
    """Keep the arguments of the program for `command_line` while the block runs."""
    token = _arguments.set(tuple(arguments))
    try:
        yield
    finally:
        _arguments.reset(token)


def command_line() -> str:
    """The running command, quoted so that it can be pasted into a shell; for logs."""
    return shlex.join(("tts-meta", *_arguments.get()))


def print_text(text: str = "", end: str = "\n") -> None:
    """Print a result on stdout. Control characters, which a terminal would obey, are printed as escapes."""
    print("\n".join(map(printable, text.split("\n"))), end=end)


def is_first_rank() -> bool:
    """Whether this is the first process of `torchrun`, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def print_on_first_rank(result: object) -> None:
    """Print a result in the first process of `torchrun` only."""
    if is_first_rank():
        print_text(str(result))


def print_json(data: dict[str, Any]) -> None:
    """Print a result on stdout as JSON, for another program."""
    check_stdout("the JSON")
    print(json.dumps(data, indent=2, allow_nan=False))


def print_message(line: str) -> None:
    """Print a line on stderr, so that it does not mix with the result on stdout."""
    write_error(f"tts-meta: {one_line(line)}")


def print_warning(line: str) -> None:
    """Print a warning on stderr."""
    print_message(f"warning: {line}")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table in columns of text. `right`: indices of the columns that are aligned to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = []
    for row in [headings, ["-" * width for width in widths], *rows]:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
