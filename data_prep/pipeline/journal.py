"""`Journal`: the results of finished recordings in a file, so that a run that was killed continues where it stopped."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from data_prep.pipeline.asr_task import RecognisedSlice
from data_prep.pipeline.audio_job import AudioResult
from tts_meta.errors import TtsMetaError

_ADVICE = "free some space and run the same command again to continue"


class Journal:
    """Results by the key of their job, in memory and in a file with one JSON line for each.

    A line is written in one call when its job is finished. A line that is damaged, such as the last one after a power
    failure, is ignored. Raises TtsMetaError if the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self.results: dict[bytes, AudioResult] = dict(_read(path)) if path.exists() else {}

    def __contains__(self, key: bytes) -> bool:
        return key in self.results

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def add(self, key: bytes, result: AudioResult) -> None:
        """Keep a result, in the file too."""
        line = json.dumps({"key": key.hex(), **result.as_dict()}, ensure_ascii=False).encode() + b"\n"
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                if os.fstat(self._file).st_size:
                    line = b"\n" + line  # ends a line that was cut off
            if os.write(self._file, line) != len(line):
                raise TtsMetaError(f"cannot write {self.path}: the disk is full; {_ADVICE}")
        except OSError as error:
            raise TtsMetaError(f"cannot write {self.path}: {error.strerror}; {_ADVICE}") from error
        self.results[key] = result

    def remove(self) -> None:
        """Remove the file, if it exists."""
        self.__exit__(None, None, None)
        self.path.unlink(missing_ok=True)


def _read(path: Path):
    try:
        with open(path, "rb") as file:
            for line in file:
                entry = _parse(line)
                if entry is not None:
                    yield entry
    except OSError as error:
        raise TtsMetaError(f"cannot read {path}: {error.strerror}; delete it to start again") from error


def _parse(line: bytes) -> tuple[bytes, AudioResult] | None:
    """Return key and result of a line, or None if it is damaged."""
    try:
        record: dict[str, Any] = json.loads(line)
        key, slices = bytes.fromhex(record.pop("key")), record.pop("slices", None)
        result = AudioResult(
            **record, slices=None if slices is None else tuple(RecognisedSlice(*part) for part in slices)
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    seconds = result.seconds
    if isinstance(result.fault, str) or result.slices is not None:
        return key, result
    is_number = isinstance(seconds, float) and math.isfinite(seconds) and seconds > 0
    return (key, result) if is_number and isinstance(result.file, str | None) else None
