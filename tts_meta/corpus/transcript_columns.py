"""Recognition of the columns of a transcript list, by the names in the header or by the content of the lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tts_meta.errors import TtsMetaError

AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".aiff", ".aif", ".aifc", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".mp3", ".webm"),
    *(".mka", ".wma", ".amr", ".3gp", ".au", ".caf", ".w64"),
)
"""Suffixes of recordings. If a recording exists in several formats, the first suffix in this order is used."""

# In order of preference: a path identifies a recording better than an id.
_FILE = [
    *("audio_file", "audio", "audio_path", "audio_filepath", "audio_filename", "wav", "wav_path", "wav_file"),
    *("wav_filename", "path", "file", "file_path", "filepath", "file_name", "filename", "clip", "recording", "name"),
    *("id", "utt_id", "utterance_id", "utterance", "key"),
]
_ID = ["id", "utt_id", "utterance_id", "utterance"]
_TEXT = [
    *("text", "sentence", "transcript", "transcription", "raw_text", "raw_transcription", "raw_transcript"),
    "utterance_text",
]
_NORMALISED = [
    *("normalized_text", "text_normalized", "normalized", "normalized_transcription", "normalized_transcript"),
]
_SPEAKER = ["speaker", "speaker_name", "speaker_id", "spk", "spk_id", "client_id", "voice"]
_LANGUAGE = ["language", "lang", "locale"]
_GENDER = ["gender", "sex"]
START, END = ("start", "offset", "start_time", "begin"), ("end", "end_time", "stop")
"""Names of the columns that select a part of a recording, in seconds."""
SECONDS = ("duration", "seconds")
"""Names of the column with the duration of a part without an end."""

_LANGUAGE_CODE = re.compile(r"(?:all_)?[A-Za-z]{2,3}(?:[-_][A-Za-z]{2,4})?|auto(?:_yue)?")
_MAX_SPEAKER_NAME = 64
_MIN_SHARED = 0.5
"""Smallest share of common letter pairs of a raw text and its normalised form."""
_MIN_SIZE_RATIO = 0.25
"""Smallest ratio of the numbers of letter pairs of a raw text and its normalised form."""
# Only a raw text of letters is compared, because normalisation replaces digits and signs by letters.
_LETTERS_ONLY = re.compile(r"""(?:[^\W\d_]|[\s.,;:!?'"()-])*""")
_MAX_COMPARED = 300
"""Number of characters of each text that are compared."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `line`: number of the line, from 1."""

    line: int
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The index of each column, from 0. `normalised` replaces `text` in lines where it is not empty."""

    name: int
    text: int | None = None
    normalised: int | None = None
    id: int | None = None
    speaker: int | None = None
    language: int | None = None
    gender: int | None = None
    start: int | None = None
    end: int | None = None
    seconds: int | None = None

    def used(self) -> set[int]:
        """Return the indices of the columns that are present."""
        return {index for key in self.__slots__ if (index := getattr(self, key)) is not None}


LJSPEECH = Columns(0, text=1, normalised=2)
PIPER = Columns(0, speaker=1, text=2)
STYLETTS2 = Columns(0, text=1, speaker=2)
GPT_SOVITS = Columns(0, speaker=1, language=2, text=3)


def columns_by_name(names: Sequence[str]) -> Columns | None:
    """Return the columns of a header, or None if no name means a file or no name means a text."""
    indices: dict[str, int] = {}
    for index, name in enumerate(names):
        indices.setdefault(re.sub(r"[\s-]+", "_", name.strip().casefold()).replace("normalised", "normalized"), index)

    def find(known: Sequence[str]) -> int | None:
        return next((indices[name] for name in known if name in indices), None)

    name, text, normalised = find(_FILE), find(_TEXT), find(_NORMALISED)
    if name is None or (text is None and normalised is None):
        return None
    id_column, start = find(_ID), find(START)
    return Columns(
        *(name, text, normalised, None if id_column == name else id_column),
        *(find(_SPEAKER), find(_LANGUAGE), find(_GENDER)),
        *(start, find(END), None if start is None else find(SECONDS)),
    )


def columns_by_content(rows: Sequence[Row], separator: str, where: str) -> Columns:
    """Return the columns of a list without a header, recognised by the content of all lines.

    Raises TtsMetaError that names a line with another number of fields, or asks for a header.
    """
    mark = "tab" if separator == "\t" else separator
    widths = Counter(len(row.fields) for row in rows)
    for row in rows:
        if len(row.fields) == 1:
            raise TtsMetaError(f"{where}, line {row.line}: no '{mark}' between file and text; write `FILE|TEXT`")
    if set(widths) == {2}:
        return Columns(0, text=1)
    if set(widths) <= {2, 3}:
        return _three_columns(rows, mark, where)
    if set(widths) == {4} and all(_LANGUAGE_CODE.fullmatch(row.fields[2]) for row in rows):
        return GPT_SOVITS
    raise _unequal_rows(rows, mark, where)


def _three_columns(rows: Sequence[Row], mark: str, where: str) -> Columns:
    wide = [row for row in rows if len(row.fields) == 3]
    filled = [row for row in wide if row.fields[2]]
    different = [row for row in filled if not _are_similar(row.fields[1], row.fields[2])]
    if 2 * len(different) <= len(filled):
        for row in different:
            if _LETTERS_ONLY.fullmatch(row.fields[1]):
                raise TtsMetaError(
                    f"{where}, line {row.line}: the two texts are not similar; if there is a '{mark}' inside a text, "
                    "replace it with a space"
                )
        return LJSPEECH
    if len(wide) < len(rows):
        raise _unequal_rows(rows, mark, where)
    second, third = ([row.fields[column] for row in rows] for column in (1, 2))
    speakers = _speaker_column(second, third)
    if speakers is None:
        raise TtsMetaError(
            f"{where}: it is not clear which of the three columns is the speaker; write a first line such as "
            f"file{mark if mark != 'tab' else '<tab>'}speaker{mark if mark != 'tab' else '<tab>'}text"
        )
    return PIPER if speakers == 1 else STYLETTS2


def _speaker_column(second: Sequence[str], third: Sequence[str]) -> int | None:
    """Return the column of the speakers: 1, 2, or None if that is not clear."""
    possible = [all(map(_may_be_speaker, values)) for values in (second, third)]
    if possible[0] != possible[1]:
        return 1 if possible[0] else 2
    if not possible[0]:
        return None
    for test in (
        lambda values: all(value.isdecimal() for value in values),
        lambda values: len(set(values)) < len(values),
    ):
        passed = [test(values) for values in (second, third)]
        if passed[0] != passed[1]:
            return 1 if passed[0] else 2
    return None


def _may_be_speaker(value: str) -> bool:
    words = len(value.split())
    return 0 < len(value) <= _MAX_SPEAKER_NAME and words <= 3 and value[-1] not in ".!?…。！？,;:\"'"


def _are_similar(first: str, second: str) -> bool:
    """Return whether two texts have similar sizes and share half of the adjacent letter pairs of the smaller text."""
    if first == second:
        return True
    pairs = [_letter_pairs(text) for text in (first, second)]
    fewer, more = sorted(map(len, pairs))
    return fewer >= _MIN_SIZE_RATIO * more and len(pairs[0] & pairs[1]) >= max(1, _MIN_SHARED * fewer)


def _letter_pairs(text: str) -> set[tuple[str, str]]:
    letters = [character for character in text[:_MAX_COMPARED].casefold() if character.isalnum()]
    return set(pairwise(letters)) or {(letter, "") for letter in letters}


def _unequal_rows(rows: Sequence[Row], mark: str, where: str) -> TtsMetaError:
    widths = Counter(len(row.fields) for row in rows)
    usual = min(widths, key=lambda width: (-widths[width], width))
    row = next((row for row in rows if len(row.fields) != usual), None)
    if row is None:
        return TtsMetaError(f"{where}: {usual} columns of an unknown form; write a header line that names the columns")
    return TtsMetaError(
        f"{where}, line {row.line}: {len(row.fields)} fields, but most lines have {usual}; if there is a '{mark}' "
        "inside a text, replace it with a space"
    )
