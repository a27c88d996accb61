"""Parser of one line of a manifest: JSON, keys and types."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tts_meta.corpus.utterance import KEYS, Utterance
from tts_meta.errors import TtsMetaError

MAX_LINE = 2**20
"""Largest number of bytes of a line; a longer line is refused before it is read."""

_REQUIRED = ("id", "speaker", "audio", "seconds", "text")
_REPEATED = ("speaker", "gender", "language", "split", "accent")
_NUMBERS = ("seconds", "start", "end", "asr_confidence")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Fault(Exception):
    """A fault of the line. The message does not contain the file and the line number."""


def parse_line(line: bytes, number: int, folder: str, path: Path) -> Utterance:
    """Return the utterance of line `number` of the manifest `path`, whose resolved folder is `folder`.

    Raises TtsMetaError that names the line and the fault if keys or types are wrong.
    """
    try:
        record = _record(line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line)
        _check_values(record)
    except _Fault as fault:
        raise TtsMetaError(f"{path}, line {number}: {fault}; correct it or prepare the corpus again") from fault
    # normpath removes `..` from the path. This is correct because `folder` is resolved and has no symbolic links.
    record["audio"] = Path(os.path.normpath(os.path.join(folder, record["audio"])))
    for key in _NUMBERS:
        if record.get(key) is not None:
            record[key] = float(record[key])
    for key in _REPEATED:
        value = record.get(key)
        if value is not None:
            record[key] = sys.intern(value)
    return Utterance(**record)


def _record(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise _Fault(f"longer than {MAX_LINE} bytes")
    try:
        record = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        raise _Fault("not UTF-8 text; a manifest is a JSONL file") from error
    except (ValueError, RecursionError) as error:
        raise _Fault("invalid JSON; a manifest has one utterance on each line and no empty lines") from error
    if not isinstance(record, dict):
        raise _Fault("not a JSON object")
    return record


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _Fault(f"the key {next(key for key in keys if keys.count(key) > 1)[:40]!a} is repeated")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _check_values(record: dict[str, Any]) -> None:
    for key in record:
        if key not in KEYS:
            raise _Fault(f"unknown key {key[:40]!a}; the keys are: {', '.join(KEYS)}")
    for key in _REQUIRED:
        if key not in record:
            raise _Fault(f"the key {key!r} is missing")
    for key, value in record.items():
        if key in _NUMBERS and (value is not None or key in _REQUIRED):
            # A bool is an int in Python. A huge int would overflow as a float.
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
                unit = "" if key == "asr_confidence" else " of seconds"
                raise _Fault(f"{key!r} must be a number{unit}, not {_excerpt(value)}")
        elif not isinstance(value, str) and (value is not None or key in _REQUIRED):
            raise _Fault(f"{key!r} must be a string, not {_excerpt(value)}")
    if not record["audio"] or "\0" in record["audio"]:
        raise _Fault("'audio' must be a path")


def _excerpt(value: object) -> str:
    """Return a value of the line, shortened and on one line."""
    return ascii(value)[:40] if not isinstance(value, int) or abs(value) < 10**40 else "an integer of many digits"
