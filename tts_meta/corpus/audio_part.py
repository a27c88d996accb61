"""A part of a recording as a path: `long.flac#t=12.5,17`, as in the W3C recommendation "Media Fragments URI 1.0".

A part can be given to every function that reads a recording. Its name in a message says which seconds are meant. The
name of an existing file has priority, so a file named `a#t=1,2` remains readable.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from pathlib import Path

from tts_meta.files import sha256_file

_PART = re.compile(r"(?P<path>.+)#t=(?P<start>\d+(?:\.\d+)?)?(?:,(?P<end>\d+(?:\.\d+)?))?", re.DOTALL)


def part_of(path: str | Path, start: float | None, end: float | None) -> Path:
    """Return the path of the part of a recording from `start` (default 0) to `end`, in seconds.

    The result is the path itself if the part is the whole recording. Seconds are rounded to microseconds.
    """
    if not start and end is None:
        return Path(path)
    return Path(f"{path}#t={_decimal(start or 0.0)}{'' if end is None else f',{_decimal(end)}'}")


def split_part(path: str | Path) -> tuple[Path, float, float | None]:
    """Return the file of a path, and the start and the end of the part in seconds; 0 and None for a whole file."""
    match = _PART.fullmatch(str(path)) if "#t=" in str(path) else None
    if match is None or (match["start"] is None and match["end"] is None) or os.path.exists(path):
        return Path(path), 0.0, None
    return Path(match["path"]), float(match["start"] or 0), None if match["end"] is None else float(match["end"])


def sha256_audio(path: str | Path) -> str:
    """Return the SHA-256 of a recording in hexadecimal. For a part, it covers the file and the seconds."""
    file, start, end = split_part(path)
    if start == 0 and end is None:
        return sha256_file(file)
    status = os.stat(file)
    digest = _file_digest(str(file), status.st_ino, status.st_size, status.st_mtime_ns)
    part = f"{digest} {_decimal(start)} {'' if end is None else _decimal(end)}"
    return hashlib.sha256(part.encode()).hexdigest()


def fingerprint(path: str | Path) -> str:
    """Return the first twelve digits of `sha256_audio`, which identify a recording among a few recordings."""
    return sha256_audio(path)[:12]


@functools.lru_cache(maxsize=64)
def _file_digest(file: str, *state: int) -> str:
    """Return the SHA-256 of a file in this state. A long recording has many parts, and is read once for all of them."""
    return sha256_file(file)


def _decimal(seconds: float) -> str:
    """Return seconds without an exponent, with at most six decimals."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
