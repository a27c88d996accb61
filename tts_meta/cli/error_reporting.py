"""Translate an exception into an exit status and one line for the user."""

from __future__ import annotations

import errno

import typer

from tts_meta.errors import TtsMetaError, one_line

INTERRUPTED_STATUS = 130
"""Exit status after Ctrl-C, by the convention of shells: 128 + SIGINT."""
NOTHING_WRITTEN = "stopped; nothing was written"


class Interrupted(Exception):
    """Ctrl-C, with a message that says what was written or how to continue."""


def describe(error: BaseException) -> tuple[int, str]:
    """The exit status and the line to print; the line is empty if nothing is to be printed."""
    if isinstance(error, TtsMetaError):
        return error.exit_status, one_line(str(error))
    if isinstance(error, Interrupted):
        return INTERRUPTED_STATUS, one_line(str(error))
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED_STATUS, NOTHING_WRITTEN
    if isinstance(error, BrokenPipeError):
        return 1, ""
    if _is_usage_error_of_typer(error):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "tts-meta"
        message = one_line(error.format_message()).rstrip(".")  # pyright: ignore[reportAttributeAccessIssue]
        return 2, f"{message}; {_dash_hint(error)}see `{command} --help`"
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return 1, "out of memory; use less data at once, or close other programs"
    if isinstance(error, OSError):
        file = f"{one_line(str(error.filename))}: " if error.filename else ""
        advice = "; free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return 1, f"{file}{error.strerror or one_line(str(error))}{advice}"
    details = f"{type(error).__name__}: {one_line(str(error))}"
    return 1, f"internal error ({details}); run again with TTS_META_DEBUG=1 and report the output"


def _is_usage_error_of_typer(error: BaseException) -> bool:
    """Whether Typer raised the error. Its versions take the base class from different packages, hence the name."""
    return any(base.__name__ == "ClickException" for base in type(error).__mro__)


def _dash_hint(error: BaseException) -> str:
    """The hint for a text or file that begins with `-` and was read as an option; empty for a misspelt option."""
    if type(error).__name__ != "NoSuchOption" or getattr(error, "possibilities", None):
        return ""
    return "put `--` before a text or a file that begins with '-'; "


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch ran out of memory: a RuntimeError on the CPU, OutOfMemoryError on a GPU."""
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
