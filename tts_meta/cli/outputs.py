"""Checks of output files before any work starts."""

from __future__ import annotations

from pathlib import Path

from tts_meta.errors import UsageError
from tts_meta.files import check_writable


def check_output(path: Path, suffix: str, force: bool) -> None:
    """Check that `path` ends in `suffix`, in any letter case, and can be written as `check_new_file` says.

    Raises UsageError for another suffix, and the errors of `check_new_file`.
    """
    if not path.name.lower().endswith(suffix) or path.name.lower() == suffix:
        raise UsageError(f"{path}: the output must be named NAME{suffix}")
    check_new_file(path, force)


def check_new_file(path: Path, force: bool) -> None:
    """Check that a file can be written and, unless `force`, does not exist. Missing folders are made later.

    Raises UsageError for a folder and for an existing file, TtsMetaError as `check_writable`.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; choose another name, or overwrite it with --force")
    check_writable(path)
