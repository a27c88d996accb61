"""Text files that people write: their encoding, their line ends, and how their content is shown in an error."""

from __future__ import annotations

import codecs
from pathlib import Path

from tts_meta.errors import TtsMetaError

LARGEST = 2**28
"""Bytes of a text file, at most."""

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text_file(path: Path, largest: int = LARGEST) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Raises TtsMetaError naming the file and the fault: it cannot be read, is larger than `largest` bytes, or is in
    another encoding.
    """
    try:
        with open(path, "rb") as handle:
            content = handle.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TtsMetaError(f"{shown_path(path)}: cannot be read ({reason}); check the path") from error
    if len(content) > largest:
        raise TtsMetaError(f"{shown_path(path)}: larger than {largest} bytes; give a file of transcripts")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        where = "" if mark else f" (byte 0x{content[error.start]:02X} in line {content.count(10, 0, error.start) + 1})"
        raise TtsMetaError(f"{shown_path(path)}: not UTF-8 text{where}; save it as UTF-8") from error
    if "\0" in text:
        raise TtsMetaError(f"{shown_path(path)}: not UTF-8 text, it holds zero bytes; save it as UTF-8")
    return text


def split_lines(text: str) -> list[str]:
    """Return the lines of a text. U+2028, U+0085 and form feeds end no line: they are part of what they stand in."""
    end = "\n" if "\n" in text or "\r" not in text else "\r"
    return [line.removesuffix("\r") for line in text.split(end)]


def shown(text: str, most: int = 60) -> str:
    """Return the beginning of a text in quotes, its control characters escaped."""
    return repr(text if len(text) <= most else text[:most] + "...")


def shown_path(path: Path | str) -> str:
    """Return a path as it is, or in quotes where it holds what a terminal does not print."""
    text = str(path)
    return text if text.isprintable() else repr(text)
