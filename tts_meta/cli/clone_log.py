"""The TensorBoard log of `tts-meta clone --log`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.cli.console import command_line
from tts_meta.errors import UsageError
from tts_meta.files import check_writable

if TYPE_CHECKING:
    from tts_meta.adapt import CloneSettings, Recording
    from tts_meta.models.pretrained import Base
    from tts_meta.report.log import Log


def check_log(folder: Path, force: bool) -> None:
    """Raise UsageError if the folder is a file, or holds files and `force` is not given."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; choose another one for the log")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise UsageError(f"{folder}: not empty; choose another folder for the log, or replace it with --force")
    check_writable(folder / "log")


def open_log(folder: Path | None, base: Base) -> AbstractContextManager[Log]:
    """The log in `folder`, which replaces an earlier one; without a folder, a log that writes nothing."""
    from tts_meta.report.log import NullLog
    from tts_meta.report.tensorboard import TensorBoardLog

    if folder is None:
        return NullLog()
    return TensorBoardLog(folder, base.config.audio.mel, replace=True)


def log_run(log: Log, base: Base, settings: CloneSettings, recordings: Sequence[Recording]) -> None:
    """Log the command, the recordings and the settings."""
    from tts_meta.report.run_info import RunInfo, settings_of

    names = [str(recording.audio) for recording in recordings]
    RunInfo(command_line(), {"recordings": names, "base": base.hash[:12]}, settings_of(settings)).log(log)
