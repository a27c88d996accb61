"""Shards of an array store: files to which one process appends arrays, and the index of each.

`NAME.data` holds the arrays one after another. `NAME.index` holds one record of 64 bytes for each array, which is
written after the array. A process that is killed leaves at most bytes without a record, which nothing reads.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_meta.errors import TtsMetaError

MAX_SHARD_BYTES = 1 << 30
"""A shard gets no further array if it would exceed this size."""
RECORD = np.dtype([("key", "<u8", 4), ("start", "<u8"), ("rows", "<u8"), ("checksum", "<u8"), ("check", "<u8")])
"""key: 32 bytes; start: first byte of the array in the data file; rows; checksum of the bytes; check of the record."""

Records = NDArray[Any]

_ADVICE = "free some space and run the same command again to continue"
_ALIGNMENT = 8
_WORDS = RECORD.itemsize // 8
_FACTORS = np.arange(1, _WORDS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C14) + np.uint64(1)
_SEED = np.uint64(0x7474735F6D657461)


def checksum(content: bytes | memoryview) -> int:
    """Return a checksum of 64 bits."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


class ShardWriter:
    """Appends arrays of this process to a shard of its own, and to the next one when it is full.

    Files are open only while an array is written. After a fork the child process writes another shard.
    """

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        self._folder = folder
        self._max_bytes = MAX_SHARD_BYTES if max_bytes is None else max_bytes
        self._name, self._process, self._size = "", 0, 0

    def append(self, key: bytes, array: NDArray[Any]) -> tuple[str, Records]:
        """Write an array `(R, ...)` and its record; return the shard's name and the record `(1,)`.

        Raises TtsMetaError if the disk is full or the folder cannot be written. Then nothing was added.
        """
        content = np.ascontiguousarray(array).data.cast("B")
        if self._process != os.getpid() or self._size + _ALIGNMENT + len(content) > self._max_bytes:
            self._name, self._process, self._size = secrets.token_hex(6), os.getpid(), 0
        data, index = (self._folder / f"{self._name}{suffix}" for suffix in (".data", ".index"))
        try:
            start = _append(data, content)
            record = np.zeros(1, RECORD)
            record["key"] = np.frombuffer(key, "<u8")
            record["start"], record["rows"], record["checksum"] = start, len(array), checksum(content)
            record["check"] = _check(record)
            _append(index, record.tobytes())
        except OSError as error:
            raise TtsMetaError(f"cannot write {data}: {error.strerror or error}; {_ADVICE}") from error
        self._size = start + len(content)
        return self._name, record


def read_index(path: Path, row_bytes: int, begin: int = 0) -> tuple[Records, int]:
    """Return the valid records of an index from byte `begin` on, and the number of bytes that were read.

    A record is invalid if its check is wrong, or if its array is not completely in the data file.
    """
    try:
        with open(path, "rb") as file:
            file.seek(begin)
            content = file.read()
        with open(path.with_suffix(".data"), "rb") as file:
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return np.zeros(0, RECORD), 0
    except OSError as error:
        raise TtsMetaError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    whole = len(content) // RECORD.itemsize * RECORD.itemsize
    records = np.frombuffer(content[:whole], RECORD)
    rows, start = records["rows"], records["start"]
    limit = np.uint64(size)
    is_inside = (rows > 0) & (rows <= limit // np.uint64(row_bytes)) & (start <= limit)
    is_inside &= start + np.where(is_inside, rows, 0).astype(np.uint64) * np.uint64(row_bytes) <= limit
    return records[is_inside & (records["check"] == _check(records))], whole


def _check(records: Records) -> NDArray[np.uint64]:
    """Return the check of each record: a sum of its other words with odd factors. It changes if one word changes."""
    words = records.view("<u8").reshape(-1, _WORDS)[:, :-1]
    return (words * _FACTORS).sum(1, dtype=np.uint64) ^ _SEED


def _append(path: Path, content: bytes | memoryview) -> int:
    """Append bytes at an aligned position and return it. If the write fails, the file keeps its size."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        padding = -size % _ALIGNMENT
        try:
            for part in (bytes(padding), content):
                done = 0
                while done < len(part):
                    done += os.write(descriptor, memoryview(part)[done:])
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        return size + padding
    finally:
        os.close(descriptor)
