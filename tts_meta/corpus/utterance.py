"""One recorded sentence of a corpus, and what its fields may hold."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path

SPEED_MARK = "@"
"""Between the name of a recording, or of its speaker, and the speed at which it is played as a made speaker's."""

LONGEST_NAME = 1000
"""Characters of an id, a speaker, a split, a gender or a language, at most."""
LONGEST_TEXT = 100_000
"""Characters of a text or its phonemes, at most."""
LONGEST_PATH = 4096
"""Bytes of an audio path, at most, as on Linux."""
LONGEST_SECONDS = 100_000.0
"""Duration of an utterance, at most: more than a day."""

_SPEED = re.compile(SPEED_MARK + r"(?:0\.[5-9]\d*|1\.\d+|2)")
# C0, DEL and C1 controls, separators of lines and paragraphs, halves of surrogate pairs.
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# As above without what `str.split` takes for white space.
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_SLASH = re.compile(r"[/\\]")


def recording_of(name: str) -> str:
    """The id of the recording that an utterance plays at some speed, or the name of its speaker, from theirs.

    Only a speed from 0.5 to 2 after the last `@` is a mark, so that `anna@home` and `bob@home` remain two speakers.
    """
    recording, mark, _ = name.rpartition(SPEED_MARK)
    return recording if recording and mark and _SPEED.fullmatch(name, len(recording)) else name


@dataclass(frozen=True, slots=True)
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
        for name in ("id", "speaker"):
            fault = _name_fault(name, getattr(self, name)) or _path_fault(name, getattr(self, name))
            if fault is not None:
                return fault
        for name in ("split", "gender", "language"):
            value = getattr(self, name)
            fault = None if value is None else _name_fault(name, value)
            if fault is not None:
                return fault
        fault = _text_fault("text", self.text) or (self.phonemes and _text_fault("phonemes", self.phonemes))
        return fault or self._audio_fault() or self._seconds_fault()

    def _audio_fault(self) -> str | None:
        path = str(self.audio)
        found = _NOT_IN_NAMES.search(path)
        if found is not None:
            return _character_fault("audio", found[0])
        size = len(path.encode())
        return f"audio is a path of {size} bytes, at most {LONGEST_PATH}" if size > LONGEST_PATH else None

    def _seconds_fault(self) -> str | None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            return f"seconds must be a positive number, not {self.seconds}"
        return f"seconds must be at most {LONGEST_SECONDS:.0f}" if self.seconds > LONGEST_SECONDS else None


KEYS = tuple(field.name for field in dataclasses.fields(Utterance))
"""The keys of a manifest's line, in order."""


def _name_fault(key: str, value: str) -> str | None:
    return _string_fault(key, value, LONGEST_NAME, _NOT_IN_NAMES)


def _text_fault(key: str, value: str) -> str | None:
    return _string_fault(key, value, LONGEST_TEXT, _NOT_IN_TEXT)


def _string_fault(key: str, value: str, longest: int, forbidden: re.Pattern[str]) -> str | None:
    if not value or value.isspace():
        return f"empty {key}"
    if len(value) > longest:
        return f"{key} has {len(value)} characters, at most {longest}"
    found = forbidden.search(value)
    return None if found is None else _character_fault(key, found[0])


def _character_fault(key: str, character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return f"{key} cannot be written as UTF-8"
    return f"{key} holds the control character U+{ord(character):04X}"


def _path_fault(key: str, value: str) -> str | None:
    """Ids and speakers may name files of results: they must not lead out of a folder."""
    if "." not in value and "/" not in value and "\\" not in value:
        return None
    if any(part in ("", ".", "..") for part in _SLASH.split(value)):
        return f"{key} must not begin or end with a slash, nor hold '..': {value[:40]!r}"
    return None
