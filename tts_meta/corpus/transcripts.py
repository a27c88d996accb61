"""Lists of transcripts: one reader for the forms in which texts are kept apart from their recordings.

| Form | A line |
|---|---|
| two columns (Piper, F5-TTS) | `file|text` |
| LJSpeech | `id|raw text|normalised text`, the third may be empty |
| Piper, VITS | `file|speaker|text` |
| StyleTTS2 | `file|text|speaker` |
| GPT-SoVITS | `file|speaker|language|text` |
| a header line (Coqui, F5-TTS, Common Voice) | columns by name, with `|`, tab, comma or semicolon between them |
| JSONL | an object a line, keys as in a header |

A tab may stand for `|`. `docs/corpora.md` describes the forms for users.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tts_meta.corpus.text_file import read_text_file, shown, shown_path, split_lines
from tts_meta.corpus.transcript_columns import AUDIO_SUFFIXES, Columns, Row, columns_by_content, columns_by_name
from tts_meta.errors import TtsMetaError

_MOST_COLUMNS = 100
"""Of a header."""
_JSON_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Transcript:
    """One entry: `name` is a recording's path, file name or id as it stands in the list, `line` begins at 1.

    `speaker` is None where the list has no speakers, and empty where it has them and this line has none.
    """

    line: int
    name: str
    text: str
    id: str | None = None
    speaker: str | None = None
    language: str | None = None
    gender: str | None = None


def read_transcripts(path: Path) -> list[Transcript]:
    """Return the entries of a list of transcripts, in its order.

    Raises TtsMetaError that names the file, and the line where one is at fault: unreadable, no list of a known form,
    a line with more or fewer fields than the others, an entry without a name, a list without entries.
    """
    text = read_text_file(path)
    lines = split_lines(text)
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), None)
    if first is None:
        raise TtsMetaError(f"{shown_path(path)}: empty; write a line `FILE|TEXT` for each recording")
    where = shown_path(path)
    head = lines[first - 1].lstrip()
    if path.suffix.lower() in _JSON_SUFFIXES or (head.startswith("{") and '"' in head):
        entries = [_from_json(line, number, where) for number, line in enumerate(lines, 1) if line.strip()]
    else:
        entries = list(_from_rows(text, lines, first, where))
    if not entries:
        raise TtsMetaError(f"{where}: a header and no entry; write a line for each recording")
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
        yield _from_row(row, columns)


def _header(line: str) -> tuple[str, Columns | None]:
    """The separator of a list that begins with `line`, and its columns where the line is a header."""
    for separator in ("|", "\t", ",", ";"):
        if line.count(separator) > _MOST_COLUMNS:
            continue
        names = [_unquoted(name) for name in line.split(separator)]
        columns = columns_by_name(names)
        if columns is not None:
            return separator, columns
    bars = [(place, separator) for separator in ("|", "\t") if (place := line.find(separator)) >= 0]
    if bars:
        return min(bars)[1], None
    is_csv = line.split(",")[0].strip().strip('"').lower().endswith(AUDIO_SUFFIXES)
    return ("," if is_csv else "|"), None


def _quoted_rows(text: str, separator: str, where: str) -> list[Row]:
    """Rows as spreadsheets write them: fields in double quotes may hold separators and line ends."""
    rows, start = [], 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                rows.append(Row(start, tuple(field.strip() for field in fields)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise TtsMetaError(f"{where}, line {start}: not a line of CSV ({error}); quote its fields") from error
    return rows


def _check_width(row: Row, width: int, separator: str, where: str) -> None:
    if len(row.fields) < width or any(row.fields[width:]):
        name = "tab" if separator == "\t" else separator
        raise TtsMetaError(
            f"{where}, line {row.line}: {len(row.fields)} fields where the header names {width}; "
            f"write one field a column, and no '{name}' inside a text"
        )


def _from_row(row: Row, columns: Columns) -> Transcript:
    def value(place: int | None) -> str | None:
        return row.fields[place] if place is not None and place < len(row.fields) else None

    name = value(columns.name) or ""
    if len(name) > 2 and name[0] == name[-1] == '"':
        name = name[1:-1]
    text = value(columns.normalised) or value(columns.text) or ""
    others = (value(columns.language) or None, value(columns.gender) or None)
    return Transcript(row.line, name, text, value(columns.id) or None, value(columns.speaker), *others)


def _from_json(line: str, number: int, where: str) -> Transcript:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TtsMetaError(f"{where}, line {number}: not a line of JSON; write one object a line") from error
    if not isinstance(record, dict):
        raise TtsMetaError(f"{where}, line {number}: not a JSON object; write keys such as audio and text")
    values = list(record.values())
    columns = columns_by_name(list(record))
    if columns is None:
        raise TtsMetaError(f"{where}, line {number}: no keys for file and text; name them audio and text")
    fields = ["" if value is None or isinstance(value, float) else str(value).strip() for value in values]
    for place in columns.places():
        key, value = list(record.items())[place]
        is_number = isinstance(value, int) and not isinstance(value, bool) and place not in (columns.text, columns.name)
        if not (value is None or is_number or isinstance(value, str)):
            raise TtsMetaError(f"{where}, line {number}: the value of {shown(key)} is not a text; put it in quotes")
        if any("\ud800" <= character <= "\udfff" for character in fields[place]):
            raise TtsMetaError(f"{where}, line {number}: {shown(key)} holds half a character; correct it")
    return _from_row(Row(number, tuple(fields)), columns)


def _unquoted(field: str) -> str:
    """A field of a table without the quotes that spreadsheets put around it; other quotes are part of the text."""
    field = field.strip()
    inner = field[1:-1]
    quoted = len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else field
