"""Reader of a list of another toolkit: JSON lines (NeMo), a table with a header (Coqui), `path|speaker|text` (VITS).

A folder with the tables of Kaldi or ESPnet (`wav.scp`, `text`, `utt2spk`) is read too. The columns of recording, text,
id, speaker, language and gender have the names of `docs/corpora.md`. The other columns are `accent`, `split`, and
`start` or `offset` with `end` or `duration`, in seconds, for a part of a recording. Paths are relative to the list.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.files import part_id
from data_prep.kaldi_tables import WAVS, KaldiFolder, is_kaldi
from data_prep.recording import Recording
from data_prep.tables import Line, read_fields, read_lines
from tts_meta.corpus import AUDIO_SUFFIXES, name_stem, read_transcripts, to_nfc
from tts_meta.corpus.text_file import printable_path
from tts_meta.corpus.transcript_columns import END, SECONDS, START, columns_by_name
from tts_meta.errors import UsageError

_ACCENT, _SPLIT = ("accent", "accents", "dialect"), ("split", "subset", "partition")
_AUDIO_FOLDERS = ("", "wavs", "wav", "audio", "clips")


@dataclass(frozen=True)
class _Row:
    """The values of a line by the name of the column, or the fault of the line."""

    line: Line
    names: Sequence[str] = ()
    values: Sequence[str] = ()
    fault: str | None = None


def read(source: Path) -> Iterator[Recording]:
    """Yield every line of a list, or every utterance of a folder of Kaldi.

    Raises UsageError if a folder has no such tables. Raises TtsMetaError if the list cannot be read, or has neither a
    header nor a known form.
    """
    if source.is_dir():
        if not is_kaldi(source):
            raise UsageError(f"{printable_path(source)} has no {WAVS}, text and utt2spk; give the file of a list")
        yield from KaldiFolder(source, _audio_dir(source)).read()
        return
    first = next(read_lines(source), None)
    rows: Callable[[Path], Iterator[_Row]] = _json_rows
    if first is not None and not first.text.lstrip().startswith("{"):
        separator = next((mark for mark in "|\t,;" if columns_by_name(_names(first.text.split(mark)))), None)
        rows = _transcript_rows if separator is None else lambda path: _table_rows(path, separator)
    for row in rows(source):
        yield _recording(row, source) if row.fault is None else row.line.dropped(row.fault)


def _audio_dir(folder: Path) -> Path:
    """Return the folder that the paths in `wav.scp` are relative to: the data folder or a folder above it."""
    names = [fields[1] for _, fields in read_fields(folder / WAVS, None) if len(fields) > 1]
    return next((parent for parent in (folder, *folder.parents) if names and os.path.isfile(parent / names[0])), folder)


def _json_rows(source: Path) -> Iterator[_Row]:
    for line in read_lines(source):
        try:
            record = json.loads(line.text)
            values = ["" if value is None else str(value).strip() for value in record.values()]
            row = _Row(line, list(record), values, line.fault)
        except (ValueError, AttributeError, RecursionError):
            row = _Row(line, fault=line.fault or "broken line: not a JSON object")
        yield row


def _table_rows(source: Path, separator: str) -> Iterator[_Row]:
    lines, current = read_lines(source), list[Line]()

    def texts() -> Iterator[str]:
        for line in lines:
            current.append(line)
            yield f"{line.text}\n"

    quoting = csv.QUOTE_MINIMAL if separator in ",;" else csv.QUOTE_NONE
    header: list[str] = []
    for fields in csv.reader(texts(), delimiter=separator, quoting=quoting, skipinitialspace=True):
        line, fault = current[0], next((line.fault for line in current if line.fault), None)
        current.clear()
        if not header:
            header = fields
        elif len(fields) != len(header):
            yield _Row(line, fault=f"broken line: {len(fields)} fields, but the header has {len(header)} columns")
        else:
            yield _Row(line, header, [field.strip() for field in fields], fault)


def _transcript_rows(source: Path) -> Iterator[_Row]:
    """Yield the entries of a list without a header; the form is recognised by the content."""
    for entry in read_transcripts(source):
        values = {"audio": entry.name, "text": entry.text, "speaker": entry.speaker, "language": entry.language}
        present = {name: value for name, value in values.items() if value is not None}
        yield _Row(Line(source, entry.line, entry.text), list(present), list(present.values()))


def _names(columns: Sequence[str]) -> list[str]:
    return [column.strip().strip('"').casefold().replace(" ", "_").replace("-", "_") for column in columns]


def _recording(row: _Row, source: Path) -> Recording:
    names = _names(row.names)
    columns = columns_by_name(names)
    if columns is None or not row.values[columns.name]:
        return row.line.dropped("broken line: no name of a recording, or no text; name them audio and text")

    def value(column: int | None) -> str | None:
        return None if column is None else row.values[column] or None

    def first_of(known: Sequence[str]) -> str | None:
        return next((text for name, text in zip(names, row.values, strict=True) if name in known and text), None)

    try:
        start, end, seconds = (_number(first_of(known)) for known in (START, END, SECONDS))
    except ValueError:
        return row.line.dropped("broken line: start, end or duration is not a number of seconds")
    if start is not None and end is None and seconds is not None:
        end = round(start + seconds, 6)
    name = row.values[columns.name]
    path = _path(name, source.parent)
    return Recording(
        id=value(columns.id) or _identity(path, source.parent, start, end),
        speaker=to_nfc(value(columns.speaker) or "") if columns.speaker is not None else source.parent.name,
        audio=path,
        text=value(columns.normalised) or value(columns.text) or "",
        gender=value(columns.gender),
        language=value(columns.language),
        split=first_of(_SPLIT),
        accent=first_of(_ACCENT),
        start=start,
        end=end,
        listed_in=source,
        line=row.line.number,
    )


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _path(name: str, folder: Path) -> Path:
    """Return the recording of a name: a path, or a name in a usual subfolder, with or without a suffix."""
    name = name.replace("\\", "/") if not os.path.exists(folder / name) else name
    bases = [Path(os.path.normpath(folder / subfolder / name)) for subfolder in _AUDIO_FOLDERS]
    for path in bases:
        if os.path.isfile(path):
            return path
        for suffix in AUDIO_SUFFIXES if name_stem(name) == name else ():
            if os.path.isfile(f"{path}{suffix}"):
                return Path(f"{path}{suffix}")
    return bases[0]


def _identity(path: Path, folder: Path, start: float | None, end: float | None) -> str:
    """Return the path of a recording without its suffix, relative to the list if possible, and the part in ms."""
    inside = path.is_relative_to(folder)
    identity = name_stem((path.relative_to(folder) if inside else path).as_posix().lstrip("/"))
    return to_nfc(part_id(identity, start, end))
