"""Standard input, output and error of the process, also if the caller closed them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Any

from tts_meta.errors import UsageError

_NAMES = ("stdin", "stdout", "stderr")
_closed: set[str] = set()


def open_standard_streams() -> None:
    """Replace each standard stream that the caller closed (`>&-`) by the null device.

    Without this, the next file that is opened takes the number of the closed stream, and what libraries write to the
    stream lands in that file. Python also prints errors to standard output if there is no standard error.
    """
    for number, name in enumerate(_NAMES):
        stream = getattr(sys, name)
        if stream is None:
            _closed.add(name)
            setattr(sys, name, _null_stream(number))
        elif name == "stdout" and hasattr(stream, "reconfigure"):
            # A terminal or file with an encoding other than UTF-8 gets σ as an escape.
            stream.reconfigure(errors="backslashreplace")


def _null_stream(number: int) -> IO[Any]:
    with suppress(OSError):
        os.fstat(number)
        number = -1  # another file has this number already
    opened = os.open(os.devnull, os.O_RDWR)
    if number not in (-1, opened):
        os.dup2(opened, number)
        os.close(opened)
        opened = number
    return os.fdopen(opened, "r" if number == 0 else "w", encoding="utf-8")


def check_stdout(content: str) -> None:
    """Raise UsageError if standard output, to which `content` will be written, is closed."""
    if "stdout" in _closed:
        raise UsageError(f"standard output is closed, and {content} is written there; open it, or write to a file")


def read_stdin() -> bytes:
    """All of standard input. Raises UsageError if it is closed."""
    if "stdin" in _closed:
        raise UsageError("standard input is closed; give the text as arguments or with --file FILE")
    return sys.stdin.buffer.read()


def flush_stdout() -> None:
    """Write what is buffered. Raises OSError if the reader has gone or the disk is full."""
    sys.stdout.flush()


def discard_stdout() -> None:
    """Send unwritten output to the null device; otherwise Python reports the same error again when it exits."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def write_error(line: str) -> None:
    """Print a line to standard error. A failure to print is ignored, so that the work continues."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
