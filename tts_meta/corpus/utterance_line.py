"""From one line of a manifest to an utterance: JSON, keys and types."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tts_meta.corpus.utterance import KEYS, Utterance
from tts_meta.errors import TtsMetaError

LONGEST_LINE = 2**20
"""Bytes of a line, at most; longer ones are refused before they are read."""

_REQUIRED = ("id", "speaker", "audio", "seconds", "text")
_REPEATED = ("speaker", "gender", "language", "split")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Fault(Exception):
    """What is wrong with the line."""


def parse_line(line: bytes, number: int, folder: str, path: Path) -> Utterance:
    """Return the utterance of line `number` of the manifest `path`, whose resolved folder is `folder`.

    Raises TtsMetaError that names the line and the fault, where keys or types are wrong.
    """
    try:
        record = _record(line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line)
        _check_values(record)
    except _Fault as fault:
        raise TtsMetaError(f"{path}, line {number}: {fault}; correct it or prepare the corpus again") from fault
    # normpath takes the dots out of the path; `folder` is resolved, so that no link is crossed by them.
    record["audio"] = Path(os.path.normpath(os.path.join(folder, record["audio"])))
    record["seconds"] = float(record["seconds"])
    for key in _REPEATED:
        value = record.get(key)
        if value is not None:
            record[key] = sys.intern(value)
    return Utterance(**record)


def _record(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise _Fault(f"longer than {LONGEST_LINE} bytes, which no utterance is")
    try:
        record = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        raise _Fault("not UTF-8 text, a manifest is a JSONL file") from error
    except (ValueError, RecursionError) as error:
        raise _Fault("not a line of JSON, write one utterance a line, no empty lines") from error
    if not isinstance(record, dict):
        raise _Fault("not a JSON object")
    return record


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _Fault(f"the key {next(key for key in keys if keys.count(key) > 1)[:40]!a} is there twice")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _check_values(record: dict[str, Any]) -> None:
    for key in record:
        if key not in KEYS:
            raise _Fault(f"unknown key {key[:40]!a}, the keys are: {', '.join(KEYS)}")
    for key in _REQUIRED:
        if key not in record:
            raise _Fault(f"no {key!r}")
    for key, value in record.items():
        if key == "seconds":
            # bool is an int to Python; an int too long for a float would overflow.
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
                raise _Fault(f"'seconds' must be a number of seconds, not {_shown(value)}")
        elif not isinstance(value, str) and (value is not None or key in _REQUIRED):
            raise _Fault(f"{key!r} must be a string, not {_shown(value)}")
    if not record["audio"] or "\0" in record["audio"]:
        raise _Fault("'audio' must be a path")


def _shown(value: object) -> str:
    """A value of the line, short and on one line."""
    return ascii(value)[:40] if not isinstance(value, int) or abs(value) < 10**40 else "an integer of many digits"
