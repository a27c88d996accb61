"""The manifest: a JSONL file that lists a corpus, one utterance a line, audio paths relative to its own folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file

SPEED_MARK = "@"
"""Between the name of a recording, or of its speaker, and the speed at which it is played as a made speaker's."""


def recording_of(name: str) -> str:
    """The id of the recording that an utterance plays at some speed, or the name of its speaker, from theirs."""
    return name.partition(SPEED_MARK)[0]


@dataclass(frozen=True)
class Utterance:
    """One recorded sentence: `audio` is absolute once loaded, `seconds` its duration, `text` what is said."""

    id: str
    speaker: str
    audio: Path
    seconds: float
    text: str
    phonemes: str | None = None
    gender: str | None = None
    language: str | None = None
    split: str | None = None

    def fault(self) -> str | None:
        """Return what is wrong with the fields themselves, or None. The audio file is not looked at."""
        for name in ("id", "speaker", "text"):
            if not getattr(self, name).strip():
                return f"empty {name}"
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            return f"seconds must be a positive number, not {self.seconds}"
        return self.encoding_fault()

    def encoding_fault(self) -> str | None:
        """Return which field UTF-8 cannot write (half a surrogate pair, an undecodable file name), or None."""
        for name in _KEYS:
            try:
                str(getattr(self, name)).encode()
            except UnicodeEncodeError:
                return f"{name} cannot be written as UTF-8"
        return None


_KEYS = tuple(field.name for field in dataclasses.fields(Utterance))
_REQUIRED = ("id", "speaker", "audio", "seconds", "text")


@dataclass(frozen=True)
class Manifest:
    """An ordered list of utterances; `path` is the file it was loaded from, None for a selection or a new one."""

    utterances: tuple[Utterance, ...]
    path: Path | None = None

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a JSONL manifest and make its audio paths absolute.

        Checks the form of each line (keys and types), not what the lines say: that is `validate`. Raises
        TtsMetaError that names the line and the fault.
        """
        path = Path(path)
        try:
            content = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise TtsMetaError(f"{path} is not UTF-8 text; a manifest is a JSONL file") from error
        except OSError as error:
            raise TtsMetaError(f"cannot read the manifest {path}: {error.strerror}; give a JSONL file") from error
        folder = path.parent.resolve()
        # Not splitlines(): it also cuts at U+2028 and its like, which may stand inside a JSON string.
        lines = content.removesuffix("\n").split("\n") if content else []
        utterances = tuple(_parse(line, folder, f"{path}, line {number}") for number, line in enumerate(lines, 1))
        return cls(utterances, path)

    def save(self, path: str | Path) -> None:
        """Write JSONL whole or not at all, audio paths relative to the folder of `path`, absent fields left out.

        Raises TtsMetaError where the file cannot be written or an utterance is not fit for UTF-8.
        """
        path = Path(path)
        folder = path.parent.resolve()
        for number, utterance in enumerate(self.utterances, 1):
            fault = utterance.encoding_fault()
            if fault is not None:
                raise TtsMetaError(f"utterance {number} ({utterance.id!r}): {fault}; correct or drop it")
        with (
            atomic_file(path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="\n") as out,
        ):
            for utterance in self.utterances:
                record = {key: value for key in _KEYS if (value := getattr(utterance, key)) is not None}
                record["audio"] = _relative(utterance.audio, folder)
                out.write(json.dumps(record, ensure_ascii=False) + "\n")

    def validate(self) -> None:
        """Raise TtsMetaError that names the first faulty line and its fault.

        Faults: an empty id, speaker or text, seconds that are not positive, an id seen before, a missing audio
        file, a manifest without utterances.
        """
        if not self.utterances:
            raise TtsMetaError(f"{self.path or 'the manifest'} lists no utterance; prepare a corpus first")
        first_line: dict[str, int] = {}
        for number, utterance in enumerate(self.utterances, 1):
            fault = utterance.fault()
            if fault is None and utterance.id in first_line:
                fault = f"duplicate id, first seen in line {first_line[utterance.id]}"
            if fault is None and not utterance.audio.is_file():
                fault = f"missing audio file {utterance.audio}"
            if fault is not None:
                where = f"{self.path}, line {number}" if self.path else f"utterance {number}"
                raise TtsMetaError(f"{where} ({utterance.id!r}): {fault}; correct it or prepare the corpus again")
            first_line[utterance.id] = number

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers' names, sorted, so that a speaker's place does not hang on the order of the lines."""
        return tuple(sorted({utterance.speaker for utterance in self.utterances}))

    @property
    def seconds(self) -> float:
        """The duration of all utterances together."""
        return math.fsum(utterance.seconds for utterance in self.utterances)

    def of_split(self, *names: str) -> Manifest:
        """Return the utterances of these splits. Raises UsageError, listing the splits, where a name is unknown."""
        present = {utterance.split for utterance in self.utterances if utterance.split is not None}
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


def _parse(line: str, folder: Path, where: str) -> Utterance:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TtsMetaError(f"{where}: not a line of JSON; write one utterance a line, no empty lines") from error
    fault = _record_fault(record)
    if fault is not None:
        raise TtsMetaError(f"{where}: {fault}; correct it or prepare the corpus again")
    # abspath takes the dots out of the path; `folder` is resolved, so that no link is crossed by them.
    audio = Path(os.path.abspath(folder / record["audio"]))
    return Utterance(**{**record, "audio": audio, "seconds": float(record["seconds"])})


def _record_fault(record: Any) -> str | None:
    if not isinstance(record, Mapping):
        return "not a JSON object"
    for key in record:
        if key not in _KEYS:
            return f"unknown key {key!r}, the keys are: {', '.join(_KEYS)}"
    for key in _REQUIRED:
        if key not in record:
            return f"no {key!r}"
    for key, value in record.items():
        if key == "seconds":
            # bool is an int to Python; an int too long for a float would overflow.
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
                return f"'seconds' must be a number of seconds, not {str(value)[:40]!r}"
        elif not isinstance(value, str) and (value is not None or key in _REQUIRED):
            return f"{key!r} must be a string"
    if not record["audio"] or "\0" in record["audio"]:
        return "'audio' must be a path"
    return None


def _relative(audio: Path, folder: Path) -> str:
    # The parent is resolved as the folder was, so that both lie on one path however they were reached; a linked
    # recording keeps its own name.
    return Path(os.path.relpath(audio.parent.resolve() / audio.name, folder)).as_posix()
