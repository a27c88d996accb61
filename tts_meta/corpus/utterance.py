"""One recorded sentence of a corpus, and the limits of its fields."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path

from tts_meta.corpus.audio_part import part_of

_NO_AUDIO = Path()
SPEED_MARK = "@"
"""Separator of a name and a speed factor in the ids and speakers of speed-perturbed copies, as in `anna@0.9`."""

MAX_NAME = 1000
"""Largest number of characters of an id, a speaker, a split, a gender, a language or an accent."""
MAX_TEXT = 100_000
"""Largest number of characters of a text or its phonemes."""
MAX_PATH = 4096
"""Largest number of bytes of an audio path, as on Linux."""
MAX_SECONDS = 100_000.0
"""Largest duration of an utterance, more than a day."""

_SPEED = re.compile(SPEED_MARK + r"(?:0\.[5-9]\d*|1\.\d+|2)")
# C0, DEL and C1 controls, line and paragraph separators, lone surrogates.
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# As above, without the characters that `str.split` treats as white space.
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_SLASH = re.compile(r"[/\\]")


def unperturbed_name(name: str) -> str:
    """Return an id or speaker without the speed of a speed-perturbed copy: `anna` for `anna@0.9`.

    Only a number from 0.5 to 2 after the last `@` is a speed, so `anna@home` and `bob@home` remain two speakers.
    """
    original, mark, _ = name.rpartition(SPEED_MARK)
    return original if original and mark and _SPEED.fullmatch(name, len(original)) else name


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recorded sentence. `audio`: path, absolute after loading; `seconds`: duration; `text`: the spoken words.

    `start` and `end` select a part of a longer recording, in seconds from the start of the file: from 0 if `start` is
    None, to the end of the file if `end` is None. `accent` is the accent or the native language of the speaker.
    `asr_confidence`, 0 to 1, is set if the text is from speech recognition.
    """

    id: str
    speaker: str
    audio: Path
    seconds: float
    text: str
    phonemes: str | None = None
    gender: str | None = None
    language: str | None = None
    split: str | None = None
    accent: str | None = None
    start: float | None = None
    end: float | None = None
    asr_confidence: float | None = None

    @property
    def has_audio(self) -> bool:
        """Whether there is a recording. A text that is only spoken has the empty path as `audio`."""
        return self.audio != _NO_AUDIO

    @property
    def source(self) -> Path:
        """The recording as the functions that read audio take it: `audio`, with the part `#t=START,END` if one is set.

        Two utterances have the same source only if they have the same samples.
        """
        return part_of(self.audio, self.start, self.end)

    def fault(self) -> str | None:
        """Return the first fault of the fields, or None. The audio file is not read."""
        for name in ("id", "speaker"):
            fault = _name_fault(name, getattr(self, name)) or _path_fault(name, getattr(self, name))
            if fault is not None:
                return fault
        for name in ("split", "gender", "language", "accent"):
            value = getattr(self, name)
            fault = None if value is None else _name_fault(name, value)
            if fault is not None:
                return fault
        fault = _text_fault("text", self.text) or (self.phonemes and _text_fault("phonemes", self.phonemes))
        fault = fault or self._audio_fault() or self._seconds_fault() or part_fault(self.start, self.end)
        return fault or self._confidence_fault()

    def _audio_fault(self) -> str | None:
        path = str(Path(self.audio))  # a new path, because `audio` would keep the string in memory
        match = _NOT_IN_NAMES.search(path)
        if match is not None:
            return _character_fault("audio", match[0])
        size = len(path.encode())
        return f"audio is a path of {size} bytes; the limit is {MAX_PATH}" if size > MAX_PATH else None

    def _seconds_fault(self) -> str | None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            return f"seconds must be a positive number, not {self.seconds}"
        return f"seconds must be at most {MAX_SECONDS:.0f}" if self.seconds > MAX_SECONDS else None

    def _confidence_fault(self) -> str | None:
        if self.asr_confidence is None or 0 <= self.asr_confidence <= 1:
            return None
        return f"asr_confidence must be a number from 0 to 1, not {self.asr_confidence}"


def part_fault(start: float | None, end: float | None) -> str | None:
    """Return the fault of the seconds that select a part of a recording, or None."""
    first, last = 0.0 if start is None else start, MAX_SECONDS if end is None else end
    if 0 <= first < last <= MAX_SECONDS:
        return None
    return f"start and end must be seconds with 0 <= start < end <= {MAX_SECONDS:.0f}, not {start} and {end}"


KEYS = tuple(field.name for field in dataclasses.fields(Utterance))
"""The keys of a manifest line, in order."""


def _name_fault(key: str, value: str) -> str | None:
    return _string_fault(key, value, MAX_NAME, _NOT_IN_NAMES)


def _text_fault(key: str, value: str) -> str | None:
    return _string_fault(key, value, MAX_TEXT, _NOT_IN_TEXT)


def _string_fault(key: str, value: str, max_length: int, forbidden: re.Pattern[str]) -> str | None:
    if not value or value.isspace():
        return f"empty {key}"
    if len(value) > max_length:
        return f"{key} has {len(value)} characters; the limit is {max_length}"
    match = forbidden.search(value)
    return None if match is None else _character_fault(key, match[0])


def _character_fault(key: str, character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return f"{key} cannot be written as UTF-8"
    return f"{key} contains the control character U+{ord(character):04X}"


def _path_fault(key: str, value: str) -> str | None:
    """Return the fault of an id or speaker as a part of a path, or None.

    Results use ids and speakers in file names, and these files must stay below one folder.
    """
    if "." not in value and "/" not in value and "\\" not in value:
        return None
    if any(part in ("", ".", "..") for part in _SLASH.split(value)):
        return f"{key} must not begin or end with a slash, nor contain '..': {value[:40]!r}"
    return None
