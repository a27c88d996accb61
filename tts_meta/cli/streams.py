"""Standard input, output and errors of the process, also where its caller closed them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Any

from tts_meta.errors import UsageError

_NAMES = ("stdin", "stdout", "stderr")
_closed: set[str] = set()


def open_standard_streams() -> None:
    """Give each standard stream that was closed (`>&-`) the null device.

    Otherwise the next file that is opened takes its number, and what libraries write to it lands in that file; and
    Python prints errors to standard output where there is no stream for them.
    """
    for number, name in enumerate(_NAMES):
        stream = getattr(sys, name)
        if stream is None:
            _closed.add(name)
            setattr(sys, name, _null_stream(number))
        elif name == "stdout" and hasattr(stream, "reconfigure"):
            # A terminal or a file of another encoding than UTF-8 shows σ as an escape.
            stream.reconfigure(errors="backslashreplace")


def _null_stream(number: int) -> IO[Any]:
    with suppress(OSError):
        os.fstat(number)
        number = -1  # another file has the number already
    opened = os.open(os.devnull, os.O_RDWR)
    if number not in (-1, opened):
        os.dup2(opened, number)
        os.close(opened)
        opened = number
    return os.fdopen(opened, "r" if number == 0 else "w", encoding="utf-8")


def check_stdout(what: str) -> None:
    """Raise UsageError where standard output, which `what` is to be written to, is closed."""
    if "stdout" in _closed:
        raise UsageError(f"standard output is closed, and {what} is written there; open it, or write to a file")


def read_stdin() -> bytes:
    """All of standard input. Raises UsageError where it is closed."""
    if "stdin" in _closed:
        raise UsageError("standard input is closed; give the text as arguments or with --file FILE")
    return sys.stdin.buffer.read()


def flush_stdout() -> None:
    """Write what is buffered. Raises OSError where nobody reads it, or its disk is full."""
    sys.stdout.flush()


def discard_stdout() -> None:
    """Send what is left to the null device: Python would complain about it once more at its exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def write_error(line: str) -> None:
    """Print a line to standard error; where that fails, the work goes on without."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
