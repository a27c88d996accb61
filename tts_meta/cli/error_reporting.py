"""Exceptions to an exit status and one line."""

from __future__ import annotations

import errno

import typer

from tts_meta.errors import TtsMetaError, one_line

INTERRUPTED_STATUS = 130
"""As of a program ended by the signal of Ctrl-C."""
NOTHING_WRITTEN = "stopped; nothing was written"


class Interrupted(Exception):
    """Ctrl-C at a place where more can be said than that nothing was written."""


def describe(error: BaseException) -> tuple[int, str]:
    """The exit status and the line to print, empty for none."""
    if isinstance(error, TtsMetaError):
        return error.exit_status, one_line(str(error))
    if isinstance(error, Interrupted):
        return INTERRUPTED_STATUS, one_line(str(error))
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED_STATUS, NOTHING_WRITTEN
    if isinstance(error, BrokenPipeError):
        return 1, ""
    if _is_wrong_call(error):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "tts-meta"
        said = one_line(error.format_message()).rstrip(".")  # pyright: ignore[reportAttributeAccessIssue]
        return 2, f"{said}; {_hint(error)}see `{path} --help`"
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return 1, "out of memory; give less at once or close other programs"
    if isinstance(error, OSError):
        where = f"{one_line(str(error.filename))}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; free some space" if full else ""
        return 1, f"{where}{error.strerror or one_line(str(error))}{advice}"
    said = one_line(str(error))
    return 1, f"internal error ({type(error).__name__}: {said}); run with TTS_META_DEBUG=1 and report what it shows"


def _is_wrong_call(error: BaseException) -> bool:
    """Whether it is one of Typer's own errors; its versions take their base class from different packages."""
    return any(base.__name__ == "ClickException" for base in type(error).__mro__)


def _hint(error: BaseException) -> str:
    """What to do where a text or a file that begins with `-` was taken for an option; empty for a misspelt one."""
    if type(error).__name__ != "NoSuchOption" or getattr(error, "possibilities", None):
        return ""
    return "put `--` before a text or a file that begins with '-'; "


def _is_out_of_memory(error: BaseException) -> bool:
    """PyTorch tells it by a RuntimeError on the CPU, by a class of its own on a GPU."""
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
