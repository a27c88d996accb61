"""Reading of text files with any usual encoding and line ends, and quoting of file content in error messages."""

from __future__ import annotations

import codecs
from pathlib import Path

from tts_meta.errors import TtsMetaError

MAX_BYTES = 2**28
"""Largest size of a text file."""

# UTF-32 before UTF-16, because the little-endian mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text_file(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Raises TtsMetaError that names the file and the fault if the file cannot be read, is larger than `max_bytes`, or has
    another encoding.
    """
    try:
        with open(path, "rb") as handle:
            content = handle.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TtsMetaError(f"{printable_path(path)}: cannot be read ({reason}); check the path") from error
    if len(content) > max_bytes:
        raise TtsMetaError(f"{printable_path(path)}: larger than {max_bytes} bytes; give a file of transcripts")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        where = "" if mark else f" (byte 0x{content[error.start]:02X} in line {content.count(10, 0, error.start) + 1})"
        raise TtsMetaError(f"{printable_path(path)}: not UTF-8 text{where}; save it as UTF-8") from error
    if "\0" in text:
        raise TtsMetaError(f"{printable_path(path)}: not UTF-8 text, because it contains zero bytes; save it as UTF-8")
    return text


def split_lines(text: str) -> list[str]:
    """Return the lines of a text. U+2028, U+0085 and form feeds do not end a line."""
    end = "\n" if "\n" in text or "\r" not in text else "\r"
    return [line.removesuffix("\r") for line in text.split(end)]


def quoted(text: str, max_length: int = 60) -> str:
    """Return the beginning of a text in quotes, with control characters escaped."""
    return repr(text if len(text) <= max_length else text[:max_length] + "...")


def printable_path(path: Path | str) -> str:
    """Return a path as text, quoted and escaped if the path contains characters that a terminal does not print."""
    text = str(path)
    return text if text.isprintable() else repr(text)
