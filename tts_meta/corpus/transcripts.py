"""Reader of transcript lists, for all usual forms of a file that assigns texts to recordings.

| Form | Line |
|---|---|
| two columns (Piper, F5-TTS) | `file|text` |
| LJSpeech | `id|raw text|normalised text`, where the third may be empty |
| Piper, VITS | `file|speaker|text` |
| StyleTTS2 | `file|text|speaker` |
| GPT-SoVITS | `file|speaker|language|text` |
| a header line (Coqui, F5-TTS, Common Voice) | columns by name, separated by `|`, tab, comma or semicolon |
| JSONL | one object per line, with keys as in a header |

A tab is allowed in place of `|`. `docs/corpora.md` describes the forms for users.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tts_meta.corpus.text_file import printable_path, quoted, read_text_file, split_lines
from tts_meta.corpus.transcript_columns import AUDIO_SUFFIXES, Columns, Row, columns_by_content, columns_by_name
from tts_meta.corpus.utterance import part_fault
from tts_meta.errors import TtsMetaError

_MAX_COLUMNS = 100
"""Largest number of columns of a header."""
_JSON_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Transcript:
    """One entry of a list. `name`: path, file name or id of a recording, as in the list. `line`: from 1.

    `speaker` is None if the list has no speakers, and empty if only this line has no speaker. `start` and `end` select
    a part of the recording, in seconds.
    """

    line: int
    name: str
    text: str
    id: str | None = None
    speaker: str | None = None
    language: str | None = None
    gender: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def is_part(self) -> bool:
        """Whether the text is that of a part of the recording."""
        return self.start is not None or self.end is not None


def read_transcripts(path: Path) -> list[Transcript]:
    """Return the entries of a transcript list, in the order of the file.

    Raises TtsMetaError that names the file and the faulty line if the file is unreadable or has an unknown form, a line
    has more or fewer fields than the others, an entry has no name, or there is no entry.
    """
    text = read_text_file(path)
    lines = split_lines(text)
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), None)
    if first is None:
        raise TtsMetaError(f"{printable_path(path)}: the file is empty; write a line `FILE|TEXT` for each recording")
    where = printable_path(path)
    head = lines[first - 1].lstrip()
    if path.suffix.lower() in _JSON_SUFFIXES or (head.startswith("{") and '"' in head):
        entries = [_from_json(line, number, where) for number, line in enumerate(lines, 1) if line.strip()]
    else:
        entries = list(_from_rows(text, lines, first, where))
    if not entries:
        raise TtsMetaError(f"{where}: a header without entries; write a line for each recording")
    for entry in entries:
        if not entry.name or "\0" in entry.name:
            raise TtsMetaError(f"{where}, line {entry.line}: no file name; write `FILE|TEXT`")
    return entries


def _from_rows(text: str, lines: list[str], first: int, where: str) -> Iterator[Transcript]:
    separator, columns = _header(lines[first - 1])
    if separator in (",", ";"):
        rows = _quoted_rows(text, separator, where)
    else:
        rows = [
            Row(
                number,
                tuple(_unquoted(field) if separator == "\t" else field.strip() for field in line.split(separator)),
            )
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]
    if columns is not None:
        rows, width = rows[1:], len(rows[0].fields)
        for row in rows:
            _check_width(row, width, separator, where)
    else:
        columns = columns_by_content(rows, separator, where)
    for row in rows:
        yield _from_row(row, columns, where)


def _header(line: str) -> tuple[str, Columns | None]:
    """Return the separator of a list whose first line is `line`, and its columns if the line is a header."""
    for separator in ("|", "\t", ",", ";"):
        if line.count(separator) > _MAX_COLUMNS:
            continue
        names = [_unquoted(name) for name in line.split(separator)]
        columns = columns_by_name(names)
        if columns is not None:
            return separator, columns
    positions = [(start, separator) for separator in ("|", "\t") if (start := line.find(separator)) >= 0]
    if positions:
        return min(positions)[1], None
    is_csv = line.split(",")[0].strip().strip('"').lower().endswith(AUDIO_SUFFIXES)
    return ("," if is_csv else "|"), None


def _quoted_rows(text: str, separator: str, where: str) -> list[Row]:
    """Return the rows of a CSV file: fields in double quotes may contain separators and line ends."""
    rows, start = [], 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                rows.append(Row(start, tuple(field.strip() for field in fields)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise TtsMetaError(f"{where}, line {start}: invalid CSV ({error}); quote its fields") from error
    return rows


def _check_width(row: Row, width: int, separator: str, where: str) -> None:
    if len(row.fields) < width or any(row.fields[width:]):
        name = "tab" if separator == "\t" else separator
        raise TtsMetaError(
            f"{where}, line {row.line}: {len(row.fields)} fields, but the header has {width} columns; "
            f"write one field per column, and no '{name}' inside a text"
        )


def _from_row(row: Row, columns: Columns, where: str) -> Transcript:
    def value(column: int | None) -> str | None:
        return row.fields[column] if column is not None and column < len(row.fields) else None

    name = value(columns.name) or ""
    if len(name) > 2 and name[0] == name[-1] == '"':
        name = name[1:-1]
    text = value(columns.normalised) or value(columns.text) or ""
    start, end, seconds = (_seconds(value(column)) for column in (columns.start, columns.end, columns.seconds))
    end = round(start + seconds, 6) if start is not None and end is None and seconds is not None else end
    if (fault := part_fault(start, end)) is not None:
        raise TtsMetaError(f"{where}, line {row.line}: {fault}")
    return Transcript(
        row.line,
        name,
        text,
        id=value(columns.id) or None,
        speaker=value(columns.speaker),
        language=value(columns.language) or None,
        gender=value(columns.gender) or None,
        start=start,
        end=end,
    )


def _seconds(text: str | None) -> float | None:
    """Return a number of seconds, or NaN, which is not a part of any recording, for another text."""
    try:
        return float(text) if text else None
    except ValueError:
        return math.nan


def _from_json(line: str, number: int, where: str) -> Transcript:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TtsMetaError(f"{where}, line {number}: invalid JSON; write one object on each line") from error
    if not isinstance(record, dict):
        raise TtsMetaError(f"{where}, line {number}: not a JSON object; write keys such as audio and text")
    values = list(record.values())
    columns = columns_by_name(list(record))
    if columns is None:
        raise TtsMetaError(f"{where}, line {number}: the keys of file and text are missing; name them audio and text")
    times = (columns.start, columns.end, columns.seconds)
    fields = [
        "" if value is None or (isinstance(value, float) and column not in times) else str(value).strip()
        for column, value in enumerate(values)
    ]
    for column in columns.used():
        key, value = list(record.items())[column]
        kinds = int | float if column in times else int
        is_number = (
            isinstance(value, kinds) and not isinstance(value, bool) and column not in (columns.text, columns.name)
        )
        if not (value is None or is_number or isinstance(value, str)):
            raise TtsMetaError(f"{where}, line {number}: the value of {quoted(key)} is not a string; put it in quotes")
        if any("\ud800" <= character <= "\udfff" for character in fields[column]):
            raise TtsMetaError(f"{where}, line {number}: {quoted(key)} contains a lone surrogate; correct it")
    return _from_row(Row(number, tuple(fields)), columns, where)


def _unquoted(field: str) -> str:
    """Return a field without the surrounding quotes that spreadsheets write; other quotes are part of the text."""
    field = field.strip()
    inner = field[1:-1]
    quoted = len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else field
