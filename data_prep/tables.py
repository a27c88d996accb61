"""Reading of the text tables of published corpora by lines: a faulty line is dropped, and the others are kept."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.recording import Recording
from tts_meta.corpus.text_file import printable_path
from tts_meta.errors import TtsMetaError

MAX_LINE_BYTES = 2**20
"""A longer line is faulty."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table. number: from 1. text: without the line end; bytes that are not UTF-8 become U+FFFD."""

    table: Path
    number: int
    text: str
    fault: str | None = None

    def dropped(self, reason: str, id: str | None = None, speaker: str = "") -> Recording:
        """Return the entry of this line, with the reason why it is not used."""
        identity = id or f"{self.table.name}:{self.number}"
        return Recording(identity, speaker, None, fault=reason, listed_in=self.table, line=self.number)


def read_lines(table: Path) -> Iterator[Line]:
    """Yield the lines of a table that are not empty. A table whose name ends with `.gz` is unpacked.

    `fault` says that a line is not UTF-8 text or too long. Raises TtsMetaError if the file cannot be read.
    """
    try:
        with gzip.open(table) if table.suffix == ".gz" else open(table, "rb") as handle:
            number = 0
            while content := handle.readline(MAX_LINE_BYTES + 1):
                number += 1
                if number == 1:
                    content = content.removeprefix(_BYTE_ORDER_MARK)
                is_long = len(content) > MAX_LINE_BYTES
                if is_long:
                    end = content
                    while end and not end.endswith(b"\n"):
                        end = handle.readline(MAX_LINE_BYTES)
                    content = content[:1000]
                if content.strip():
                    yield _line(table, number, content, is_long)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise TtsMetaError(f"{printable_path(table)}: cannot be read ({reason}); check the path") from error


def read_fields(table: Path, separator: str | None = "\t") -> Iterator[tuple[Line, list[str]]]:
    """Yield each line that has no fault with its fields, without white space around them."""
    for line in read_lines(table):
        if line.fault is None:
            yield line, [field.strip() for field in line.text.split(separator)]


def read_columns(table: Path, required: Sequence[str]) -> Iterator[tuple[Line, dict[str, str] | None]]:
    """Yield each line after the header with its fields by the name of the column, or None if the line is faulty.

    The fields are separated by tabs and have no quotes. Missing fields at the end of a line are empty. Raises
    TtsMetaError if the header has not all of the `required` columns.
    """
    lines = read_lines(table)
    header = [name.strip() for name in next(lines, Line(table, 1, "")).text.split("\t")]
    missing = [name for name in required if name not in header]
    if missing:
        raise TtsMetaError(
            f"{printable_path(table)} has no column {', '.join(missing)}; copy the table of the corpus again"
        )
    last_required = max(header.index(name) for name in required)
    for line in lines:
        fields = line.text.split("\t")
        is_whole = line.fault is None and last_required < len(fields) <= len(header)
        padded = [field.strip() for field in fields] + [""] * (len(header) - len(fields))
        yield line, dict(zip(header, padded, strict=False)) if is_whole else None


def wrong_width(line: Line, expected: str) -> Recording:
    """Return the entry of a line that is not UTF-8 or has not the `expected` fields."""
    return line.dropped(line.fault or f"broken line: not in the form {expected}")


def _line(table: Path, number: int, content: bytes, is_long: bool) -> Line:
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    text = content.decode("utf-8", "replace")
    if is_long:
        return Line(table, number, text, f"broken line: longer than {MAX_LINE_BYTES} bytes")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Line(table, number, text, f"not UTF-8 text (byte 0x{content[error.start]:02X} in line {number})")
    return Line(table, number, text, "not UTF-8 text, because it contains zero bytes" if "\0" in text else None)
