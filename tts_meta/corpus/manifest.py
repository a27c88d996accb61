"""The manifest: a JSONL file that lists a corpus, one utterance a line, audio paths relative to its own folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tts_meta.corpus.utterance import KEYS, Utterance
from tts_meta.corpus.utterance_line import LONGEST_LINE, parse_line
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file


@dataclass(frozen=True, repr=False)
class Manifest:
    """An ordered list of utterances; `path` is the file it was loaded from, None for a selection or a new one."""

    utterances: tuple[Utterance, ...]
    path: Path | None = None

    def __repr__(self) -> str:
        count, hours = len(self.utterances), sum(one.seconds for one in self.utterances) / 3600
        return f"Manifest({count} utterances of {len(self.speakers)} speakers, {hours:.2f} h)"

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read and check a JSONL manifest, and make its audio paths absolute.

        Everything is checked but the audio files, which may be many and far away: `validate` looks for them. Raises
        TtsMetaError that names the first faulty line and its fault, and where no utterance is listed.
        """
        path = Path(path)
        try:
            with open(path, "rb") as handle:
                utterances = tuple(_read(handle, path))
        except OSError as error:
            raise TtsMetaError(f"cannot read the manifest {path}: {error.strerror}; give a JSONL file") from error
        except ValueError as error:
            raise TtsMetaError(f"cannot read the manifest {str(path)!r}: {error}; give a JSONL file") from error
        manifest = cls(utterances, path)
        manifest._check(look_for_audio=False)
        return manifest

    def save(self, path: str | Path) -> None:
        """Write JSONL whole or not at all, audio paths relative to the folder of `path`, absent fields left out.

        Raises TtsMetaError where the file cannot be written, or `load` would refuse it.
        """
        path = Path(path)
        folder = path.parent.resolve()
        dataclasses.replace(self, path=None)._check(look_for_audio=False)
        with (
            atomic_file(path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="\n") as out,
        ):
            for utterance in self.utterances:
                record = {key: value for key in KEYS if (value := getattr(utterance, key)) is not None}
                record["audio"] = _relative(utterance.audio, folder)
                out.write(json.dumps(record, ensure_ascii=False) + "\n")

    def validate(self) -> None:
        """Raise TtsMetaError that names the first faulty line and its fault.

        Faults: what `Utterance.fault` finds, an id seen before, a missing audio file, a manifest without utterances.
        """
        self._check(look_for_audio=True)

    def _check(self, look_for_audio: bool) -> None:
        if not self.utterances:
            raise TtsMetaError(f"{self.path or 'the manifest'} lists no utterance; prepare a corpus first")
        first_line: dict[str, int] = {}
        for number, utterance in enumerate(self.utterances, 1):
            fault = utterance.fault()
            if fault is None and first_line.setdefault(utterance.id, number) != number:
                fault = f"duplicate id, first seen in line {first_line[utterance.id]}"
            if fault is None and look_for_audio and not utterance.audio.is_file():
                fault = f"missing audio file {utterance.audio}"
            if fault is not None:
                where = f"{self.path}, line {number}" if self.path else f"utterance {number}"
                name = ascii(utterance.id[:60])
                raise TtsMetaError(f"{where} ({name}): {fault}; correct it or prepare the corpus again")

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers' names, sorted, so that a speaker's place does not depend on the order of the lines."""
        return tuple(sorted({utterance.speaker for utterance in self.utterances}))

    @property
    def seconds(self) -> float:
        """The duration of all utterances together."""
        return math.fsum(utterance.seconds for utterance in self.utterances)

    def of_split(self, *names: str) -> Manifest:
        """Return the utterances of these splits; all of them where no name is given, or no utterance has a split.

        Raises UsageError, listing the splits there are, where a name is unknown.
        """
        present = {utterance.split for utterance in self.utterances if utterance.split is not None}
        if not names or not present:
            return Manifest(self.utterances)
        _check_names("split", names, present)
        return Manifest(tuple(utterance for utterance in self.utterances if utterance.split in names))

    def of_speakers(self, names: Iterable[str]) -> Manifest:
        """Return the utterances of these speakers. Raises UsageError, listing the speakers, where one is unknown."""
        wanted = {names} if isinstance(names, str) else set(names)
        _check_names("speaker", wanted, self.speakers)
        return Manifest(tuple(utterance for utterance in self.utterances if utterance.speaker in wanted))

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)


def _check_names(kind: str, wanted: Iterable[str], present: Iterable[str]) -> None:
    present = sorted(present)
    for name in sorted(wanted):
        if name not in present:
            raise UsageError(f"no {kind} named {name!r}; the manifest has: {', '.join(present) or 'none'}")


def _read(handle: BinaryIO, path: Path) -> Iterator[Utterance]:
    folder = str(path.parent.resolve())
    number = 0
    # Only "\n" ends a line: U+2028 and its like may stand inside a JSON string.
    while line := handle.readline(LONGEST_LINE + 1):
        number += 1
        yield parse_line(line, number, folder, path)


def _relative(audio: Path, folder: Path) -> str:
    # The parent is resolved as the folder was, so that both lie on one path however they were reached; a linked
    # recording keeps its own name.
    return Path(os.path.relpath(audio.parent.resolve() / audio.name, folder)).as_posix()
