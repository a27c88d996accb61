"""Which column of a list of transcripts is what: by the names in its header, or by what its lines hold."""

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
"""Suffixes of recordings, in order of preference where one is there in several formats."""

# In order of preference: a path names a recording better than an id does.
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

_LANGUAGE_CODE = re.compile(r"(?:all_)?[A-Za-z]{2,3}(?:[-_][A-Za-z]{2,4})?|auto(?:_yue)?")
_LONGEST_SPEAKER = 64
_ALIKE = 0.5
_LEAST_PART = 0.25
"""A text of fewer letters than this part of another's is not its raw or normalised form."""
# A raw text of other characters, digits above all, may be normalised to quite other letters.
_LETTERS_ONLY = re.compile(r"""(?:[^\W\d_]|[\s.,;:!?'"()-])*""")
_COMPARED = 300
"""Characters of each text that are compared."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, its number from 1."""

    line: int
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The place of each column, from 0. `normalised` is what is taken for the text where it is filled."""

    name: int
    text: int | None = None
    normalised: int | None = None
    id: int | None = None
    speaker: int | None = None
    language: int | None = None
    gender: int | None = None

    def places(self) -> set[int]:
        """The columns that are used."""
        return {place for key in self.__slots__ if (place := getattr(self, key)) is not None}


LJSPEECH = Columns(0, text=1, normalised=2)
PIPER = Columns(0, speaker=1, text=2)
STYLETTS2 = Columns(0, text=1, speaker=2)
GPT_SOVITS = Columns(0, speaker=1, language=2, text=3)


def columns_by_name(names: Sequence[str]) -> Columns | None:
    """Return the columns of a header, or None where the names are not of a file and a text."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(re.sub(r"[\s-]+", "_", name.strip().casefold()).replace("normalised", "normalized"), place)

    def find(known: Sequence[str]) -> int | None:
        return next((places[name] for name in known if name in places), None)

    name, text, normalised = find(_FILE), find(_TEXT), find(_NORMALISED)
    if name is None or (text is None and normalised is None):
        return None
    own_id = find(_ID)
    return Columns(
        name, text, normalised, None if own_id == name else own_id, find(_SPEAKER), find(_LANGUAGE), find(_GENDER)
    )


def columns_by_content(rows: Sequence[Row], separator: str, where: str) -> Columns:
    """Return the columns of a list without a header, found from what all its lines hold.

    Raises TtsMetaError naming the line that has another number of fields, or saying that a header is needed.
    """
    mark = "tab" if separator == "\t" else separator
    widths = Counter(len(row.fields) for row in rows)
    for row in rows:
        if len(row.fields) == 1:
            raise TtsMetaError(f"{where}, line {row.line}: no '{mark}' between file and text; write `FILE|TEXT`")
    if set(widths) == {2}:
        return Columns(0, text=1)
    if set(widths) <= {2, 3}:
        return _of_three(rows, mark, where)
    if set(widths) == {4} and all(_LANGUAGE_CODE.fullmatch(row.fields[2]) for row in rows):
        return GPT_SOVITS
    raise _odd_row(rows, mark, where)


def _of_three(rows: Sequence[Row], mark: str, where: str) -> Columns:
    wide = [row for row in rows if len(row.fields) == 3]
    filled = [row for row in wide if row.fields[2]]
    unlike = [row for row in filled if not _are_alike(row.fields[1], row.fields[2])]
    if 2 * len(unlike) <= len(filled):
        for row in unlike:
            if _LETTERS_ONLY.fullmatch(row.fields[1]):
                raise TtsMetaError(
                    f"{where}, line {row.line}: its two texts have nothing in common; is there a '{mark}' inside a "
                    "text? Write a space instead"
                )
        return LJSPEECH
    if len(wide) < len(rows):
        raise _odd_row(rows, mark, where)
    second, third = ([row.fields[place] for row in rows] for place in (1, 2))
    speakers = _speaker_column(second, third)
    if speakers is None:
        raise TtsMetaError(
            f"{where}: three columns, and which holds the speaker is not clear; write a first line such as "
            f"file{mark if mark != 'tab' else '<tab>'}speaker{mark if mark != 'tab' else '<tab>'}text"
        )
    return PIPER if speakers == 1 else STYLETTS2


def _speaker_column(second: Sequence[str], third: Sequence[str]) -> int | None:
    """Which of two columns holds speakers: 1, 2, or None where that is not clear."""
    of_speakers = [all(map(_may_be_speaker, values)) for values in (second, third)]
    if of_speakers[0] != of_speakers[1]:
        return 1 if of_speakers[0] else 2
    if not of_speakers[0]:
        return None
    for test in (
        lambda values: all(value.isdecimal() for value in values),
        lambda values: len(set(values)) < len(values),
    ):
        found = [test(values) for values in (second, third)]
        if found[0] != found[1]:
            return 1 if found[0] else 2
    return None


def _may_be_speaker(value: str) -> bool:
    words = len(value.split())
    return 0 < len(value) <= _LONGEST_SPEAKER and words <= 3 and value[-1] not in ".!?…。！？,;:\"'"


def _are_alike(first: str, second: str) -> bool:
    """Whether two texts share half of the pairs of neighbouring letters of the one that has fewer."""
    if first == second:
        return True
    pairs = [_letter_pairs(text) for text in (first, second)]
    fewer, more = sorted(map(len, pairs))
    return fewer >= _LEAST_PART * more and len(pairs[0] & pairs[1]) >= max(1, _ALIKE * fewer)


def _letter_pairs(text: str) -> set[tuple[str, str]]:
    letters = [character for character in text[:_COMPARED].casefold() if character.isalnum()]
    return set(pairwise(letters)) or {(letter, "") for letter in letters}


def _odd_row(rows: Sequence[Row], mark: str, where: str) -> TtsMetaError:
    widths = Counter(len(row.fields) for row in rows)
    usual = min(widths, key=lambda width: (-widths[width], width))
    row = next((row for row in rows if len(row.fields) != usual), None)
    if row is None:
        return TtsMetaError(f"{where}: {usual} columns of an unknown form; write a first line that names the columns")
    return TtsMetaError(
        f"{where}, line {row.line}: {len(row.fields)} fields where most lines have {usual}; is there a '{mark}' inside "
        "a text? Write a space instead"
    )
