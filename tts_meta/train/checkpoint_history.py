"""The checkpoints of a stage that are kept, and the one from which a run continues.

`training` in the folder of a stage is the newest checkpoint. `checkpoints/step_N` are the last ones, the newest
included, and those with the lowest validation losses. Their files are hard links where the file system has them.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_meta.errors import TtsMetaError, TtsMetaWarning, UsageError
from tts_meta.files import atomic_folder, restore_folder
from tts_meta.headers import read_json
from tts_meta.train.checkpoints import MAX_STATE_BYTES
from tts_meta.train.distributed import barrier, is_first

NEWEST, KEPT = "training", "checkpoints"
_REMOVED = ".removed_"


@dataclass(frozen=True)
class CheckpointHistory:
    """The checkpoints in the folder of a stage. keep_last: number of the last ones; keep_best: number of the best ones.

    The folder holds at most `keep_last` + `keep_best` checkpoints, and one more while a checkpoint is written.
    """

    folder: Path
    keep_last: int = 1
    keep_best: int = 0

    def save(self, write: Callable[[Path], None], step: int) -> None:
        """Write the newest checkpoint by `write`, keep it under its step, and then remove those not to keep.

        `write` is atomic, so a process that is killed at any time leaves the newest complete checkpoint in `training`.
        """
        write(self.folder / NEWEST)
        kept = self.folder / KEPT
        if self.keep_last > 1 or self.keep_best:
            with atomic_folder(kept / f"step_{step}") as temporary:
                for path in (self.folder / NEWEST).iterdir():
                    _link(path, temporary / path.name)
        for removed in kept.glob(f"{_REMOVED}*"):  # a process was killed while it removed them
            shutil.rmtree(removed, ignore_errors=True)
        for name in self._superfluous(step):
            # A folder that is removed in part must not look like a checkpoint.
            os.rename(kept / name, kept / f"{_REMOVED}{name}")
            shutil.rmtree(kept / f"{_REMOVED}{name}", ignore_errors=True)

    def restore(self, load: Callable[[Path], dict[str, Any]], named: Path | None = None) -> dict[str, Any] | None:
        """Restore the newest checkpoint, or the one `named`, by `load`, and return its state; None without checkpoint.

        If the newest one is damaged, the last one that is not is restored, and a warning says so. The state of a run
        that was resumed from a named checkpoint has its name under `resumed_from`; such a run continues with its newest
        checkpoint if the same name is given again. Raises TtsMetaError if no checkpoint, or not the named one, can be
        restored.
        """
        if is_first():
            restore_folder(self.folder / NEWEST)
        barrier()
        newest = self.folder / NEWEST
        if named is not None and not (newest.exists() and _state(newest).get("resumed_from") == named.name):
            return self._load_named(load, named)
        if not newest.exists():
            return None
        others = [self.folder / KEPT / f"step_{step}" for step in sorted(self._steps(), reverse=True)]
        first_error = None
        for path in (newest, *others):
            try:
                state = load(path)
            except TtsMetaError as error:
                first_error = first_error or error
                continue
            if first_error is not None and is_first():
                text = str(first_error).partition("; ")[0]
                warnings.warn(TtsMetaWarning(f"{text}; the run continues from {path}"), stacklevel=2)
            return state
        raise first_error or TtsMetaError(f"{newest}: cannot be read; delete it to start again")

    def _load_named(self, load: Callable[[Path], dict[str, Any]], named: Path) -> dict[str, Any]:
        steps = ", ".join(f"step_{step}" for step in sorted(self._steps())) or "none"
        try:
            return load(named) | {"resumed_from": named.name}
        except TtsMetaError as error:
            text = str(error).partition("; ")[0]
            raise TtsMetaError(f"{text}; resume from another checkpoint ({KEPT} has {steps})") from error

    def _steps(self) -> list[int]:
        with suppress(OSError):
            names = os.listdir(self.folder / KEPT)
            return [int(match[1]) for name in names if (match := re.fullmatch(r"step_(\d{1,12})", name))]
        return []

    def _superfluous(self, step: int) -> Iterable[str]:
        """The names of the checkpoints not to keep after `step`; later ones are of a run that was taken back."""
        steps = sorted(number for number in self._steps() if number <= step)
        several = self.keep_last > 1 or self.keep_best
        kept = set(steps[-self.keep_last :] if several else ())
        losses = {number: _state(self.folder / KEPT / f"step_{number}").get("validation_loss") for number in steps}
        measured = [number for number in steps if isinstance(losses[number], float)]
        kept |= set(sorted(measured, key=lambda number: (losses[number], -number))[: self.keep_best])
        return [f"step_{number}" for number in self._steps() if number not in kept]


def resumed_stage(resume: Path | None, output: Path, finished: dict[str, str]) -> str | None:
    """Return the stage of the checkpoint from which `--resume` continues a run; None without `--resume`.

    output: folder of the run. finished: by stage, the file that a finished stage has left. The stage of a run without
    stages is the empty string. Raises UsageError for a checkpoint of another run or of a finished stage.
    """
    if resume is None:
        return None
    for stage, result in finished.items():
        folder = output / stage
        if resume.resolve().parent in (folder.resolve(), (folder / KEPT).resolve()):
            if result and (output / result).exists():
                raise UsageError(
                    f"{resume}: the stage {stage} of this run is finished, and later stages use its result; train with "
                    "another output folder"
                )
            return stage
    example = output / list(finished)[-1] / KEPT / "step_300"
    raise UsageError(f"{resume} is not a checkpoint of the run in {output}; give a folder such as {example}")


def _state(folder: Path) -> dict[str, Any]:
    """The `state.json` of a checkpoint; empty if it is damaged."""
    try:
        data = read_json(folder / "state.json", "", MAX_STATE_BYTES)
    except TtsMetaError:
        return {}
    return data if isinstance(data, dict) else {}


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
