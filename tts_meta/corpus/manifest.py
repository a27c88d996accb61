"""The manifest: a JSONL file with one utterance per line; audio paths are relative to the manifest's folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tts_meta.corpus.utterance import KEYS, Utterance
from tts_meta.corpus.utterance_line import MAX_LINE, parse_line
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file


@dataclass(frozen=True, repr=False)
class Manifest:
    """An ordered list of utterances. `path`: the file it was loaded from, or None for a selection or a new list."""

    utterances: tuple[Utterance, ...]
    path: Path | None = None

    def __repr__(self) -> str:
        count, hours = len(self.utterances), sum(utterance.seconds for utterance in self.utterances) / 3600
        return f"Manifest({count} utterances of {len(self.speakers)} speakers, {hours:.2f} h)"

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read and check a JSONL manifest, and make its audio paths absolute.

        Audio files are not checked here, because there may be many on a slow disk; `validate` checks them. Raises
        TtsMetaError that names the first faulty line and its fault. Raises TtsMetaError if no utterance is listed.
        """
        path = Path(path)
        manifest = cls(tuple(read_utterances(path)), path)
        manifest._check(check_audio=False)
        return manifest

    def save(self, path: str | Path) -> None:
        """Write a JSONL file atomically, with audio paths relative to the folder of `path` and without absent fields.

        Raises TtsMetaError if the file cannot be written, or if `load` would refuse it.
        """
        path = Path(path)
        lines = ManifestLines(path.parent)
        dataclasses.replace(self, path=None)._check(check_audio=False)
        with (
            atomic_file(path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="\n") as out,
        ):
            out.writelines(lines.line(lines.record(utterance)) for utterance in self.utterances)

    def validate(self) -> None:
        """Raise TtsMetaError that names the first faulty line and its fault.

        Faults are: a fault of `Utterance.fault`, a repeated id, a missing audio file, a manifest without utterances.
        """
        self._check(check_audio=True)

    def _check(self, check_audio: bool) -> None:
        for _ in checked(self.utterances, self.path, check_audio):
            pass

    @property
    def speakers(self) -> tuple[str, ...]:
        """The sorted names of the speakers, so that a speaker's index does not depend on the order of the lines."""
        return tuple(sorted({utterance.speaker for utterance in self.utterances}))

    @property
    def seconds(self) -> float:
        """The total duration of all utterances."""
        return math.fsum(utterance.seconds for utterance in self.utterances)

    def of_split(self, *names: str) -> Manifest:
        """Return the utterances of these splits; all utterances if no name is given or no utterance has a split.

        Raises UsageError that lists the splits if a name is unknown.
        """
        present = {utterance.split for utterance in self.utterances if utterance.split is not None}
        if not names or not present:
            return Manifest(self.utterances)
        _check_names("split", names, present)
        return Manifest(tuple(utterance for utterance in self.utterances if utterance.split in names))

    def of_speakers(self, names: Iterable[str]) -> Manifest:
        """Return the utterances of these speakers. Raises UsageError that lists the speakers if a name is unknown."""
        wanted = {names} if isinstance(names, str) else set(names)
        _check_names("speaker", wanted, self.speakers)
        return Manifest(tuple(utterance for utterance in self.utterances if utterance.speaker in wanted))

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)


def read_utterances(path: Path) -> Iterator[Utterance]:
    """Yield the utterances of a manifest with absolute audio paths, one line in memory at a time.

    Only keys and types are checked; `checked` checks the rest. Raises TtsMetaError that names the file or the line.
    """
    try:
        with open(path, "rb") as handle:
            yield from _read(handle, path)
    except OSError as error:
        raise TtsMetaError(f"cannot read the manifest {path}: {error.strerror}; give a JSONL file") from error
    except ValueError as error:
        raise TtsMetaError(f"cannot read the manifest {str(path)!r}: {error}; give a JSONL file") from error


def checked(utterances: Iterable[Utterance], path: Path | None, check_audio: bool = False) -> Iterator[Utterance]:
    """Yield the utterances, one in memory at a time. Raises TtsMetaError that names the first fault, as `validate`."""
    first_line: dict[str, int] = {}
    for number, utterance in enumerate(utterances, 1):
        fault = utterance.fault()
        if fault is None and first_line.setdefault(utterance.id, number) != number:
            fault = f"duplicate id, first seen in line {first_line[utterance.id]}"
        if fault is None and check_audio and not utterance.audio.is_file():
            fault = f"missing audio file {utterance.audio}"
        if fault is not None:
            where = f"{path}, line {number}" if path else f"utterance {number}"
            name = ascii(utterance.id[:60])
            raise TtsMetaError(f"{where} ({name}): {fault}; correct it or prepare the corpus again")
        yield utterance
    if not first_line:
        raise TtsMetaError(f"{path or 'the manifest'} lists no utterance; write one with `tts-meta prepare`")


class ManifestLines:
    """Writer of manifest lines for a manifest in `folder`: audio paths become relative to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._relative_folders: dict[Path, str] = {}

    def record(self, utterance: Utterance) -> dict[str, object]:
        """Return the fields of a line, without absent ones."""
        record = {key: value for key in KEYS if (value := getattr(utterance, key)) is not None}
        record["audio"] = self._relative(utterance.audio)
        return record

    @staticmethod
    def line(record: Mapping[str, object]) -> str:
        """Return the line of these fields."""
        return json.dumps(record, ensure_ascii=False) + "\n"

    def _relative(self, audio: Path) -> str:
        # Both folders are resolved, so that symbolic links above them do not matter. A recording that is a link keeps
        # its name.
        if audio.parent not in self._relative_folders:
            self._relative_folders[audio.parent] = os.path.relpath(audio.parent.resolve(), self._folder)
        return Path(self._relative_folders[audio.parent], audio.name).as_posix()


def _check_names(kind: str, wanted: Iterable[str], present: Iterable[str]) -> None:
    present = sorted(present)
    for name in sorted(wanted):
        if name not in present:
            raise UsageError(f"no {kind} named {name!r}; the manifest has: {', '.join(present) or 'none'}")


def _read(handle: BinaryIO, path: Path) -> Iterator[Utterance]:
    folder = str(path.parent.resolve())
    number = 0
    # Only "\n" ends a line: JSON strings may contain U+2028 and similar separators.
    while line := handle.readline(MAX_LINE + 1):
        number += 1
        yield parse_line(line, number, folder, path)
