"""`ArrayStore`: arrays of one type by key, in shards that many processes write at once and read by memory map."""

from __future__ import annotations

import hashlib
import json
import mmap
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tts_meta.array_shards import RECORD, Records, ShardWriter, checksum, read_index
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file
from tts_meta.headers import Header, read_header

FORMAT = 1
HEADER_FILE = "store.json"

_MAX_RECENT = 20_000
"""Largest number of arrays that are found without the sorted table."""
_MAX_REFRESH_SHARE = 0.02
"""A missing key makes the store look for new arrays, for at most this share of the time."""


class ArrayStoreHeader(Header):
    """`store.json`: type and width of the arrays, and what they contain."""

    kind: Literal["tts_meta arrays"]
    format: Literal[1]
    dtype: str
    width: int
    content: dict[str, Any]


class _Entry(NamedTuple):
    """The place of an array: shard, first byte, rows and checksum. number: its number in the table, or -1."""

    shard: str
    start: int
    rows: int
    checksum: int
    number: int


@dataclass
class _Table:
    """Sorted records. prefixes: first 8 bytes of each key; shards: number of its shard; verified: was once read."""

    records: Records = field(default_factory=lambda: np.zeros(0, RECORD))
    shards: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    prefixes: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    verified: bytearray = field(default_factory=bytearray)


class ArrayStore:
    """Arrays `(R, width)` of one type, R ≥ 1, by keys of 32 bytes.

    folder: the parent folder; the store is in a subfolder whose name is a hash of `content`, which says what the arrays
    are. Each process appends to shards of its own, so no lock is needed. An array is found by every process that opens
    the store later or calls `refresh`. An array is checked by its checksum when a process reads it for the first time.
    Raises TtsMetaError for a folder of other arrays.
    """

    def __init__(
        self, folder: Path, dtype: type[np.generic], width: int, content: Mapping[str, Any], name: str | None = None
    ) -> None:
        self.dtype, self.width = np.dtype(dtype), width
        header = {"kind": "tts_meta arrays", "format": FORMAT, "dtype": self.dtype.name, "width": width}
        self._header = header | {"content": dict(content)}
        text = json.dumps(self._header, sort_keys=True, ensure_ascii=False)
        self._header = json.loads(text)
        self.folder = folder / (name or hashlib.sha256(text.encode()).hexdigest()[:12])
        self._row_bytes = self.dtype.itemsize * width
        self._writer, self._lock = ShardWriter(self.folder), threading.Lock()
        self._names: list[str] = []
        self._read_bytes: dict[str, int] = {}
        self._maps: dict[str, mmap.mmap] = {}
        self._table, self._recent = _Table(), dict[bytes, list[_Entry]]()
        self._verified_recent = set[tuple[str, int]]()
        self._next_refresh = 0.0
        if (self.folder / HEADER_FILE).exists():
            self._check_header()
            self.refresh()

    def __len__(self) -> int:
        """The number of arrays, where arrays that were written twice count twice."""
        return len(self._table.records) + sum(len(entries) for entries in self._recent.values())

    def __contains__(self, key: bytes) -> bool:
        return next(self._find(key, self._table), None) is not None

    def put(self, key: bytes, array: NDArray[Any]) -> None:
        """Add an array. Raises TtsMetaError if it cannot be written; then nothing was added."""
        array = array.reshape(-1, self.width)
        if array.dtype != self.dtype or not len(array) or len(key) != RECORD["key"].itemsize:
            raise ValueError(f"an array of {array.dtype} {array.shape} for a store of {self.dtype} (R, {self.width})")
        with self._lock:
            if not (self.folder / HEADER_FILE).exists():
                text = json.dumps(self._header, indent=1, ensure_ascii=False)
                with atomic_file(self.folder / HEADER_FILE) as temporary:
                    temporary.write_text(text + "\n", encoding="utf-8")
            name, record = self._writer.append(key, array)
            self._read_bytes[name] = self._read_bytes.get(name, 0) + RECORD.itemsize
            self._add_recent(name, record)
            if len(self._recent) > _MAX_RECENT:
                self._merge([])

    def get(self, key: bytes) -> NDArray[Any] | None:
        """Return a copy of the array of a key, or None if there is none or it is damaged."""
        entry = self._valid(key)
        if entry is None and self._may_refresh():
            self._load(merge=False)
            entry = self._valid(key)
        return None if entry is None else self._bytes(entry, 0, entry.rows)

    def read(self, key: bytes, begin: int, end: int) -> NDArray[Any]:
        """Return a copy of the rows `begin` to `end` of the array of a key.

        Raises TtsMetaError if there is no array of this key, it has fewer rows, or it is damaged.
        """
        entry = self._valid(key)
        if entry is None:
            raise self._error(key)
        if not 0 <= begin <= end <= entry.rows:
            raise TtsMetaError(f"{self._path(entry)}: an array has {entry.rows} rows, not {end}; {_delete(entry)}")
        return self._bytes(entry, begin, end)

    def rows(self, keys: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the number of rows of the array of each key `(U, 32)`; 0 if there is none. The arrays are not read."""
        table, result = self._table, np.zeros(len(keys), np.int64)
        words = np.ascontiguousarray(keys).view("<u8").reshape(-1, 4)
        if len(table.records) and len(words):
            places = np.minimum(np.searchsorted(table.prefixes, words[:, 0]), len(table.records) - 1)
            is_same = (table.records["key"][places] == words).all(1)
            result[is_same] = table.records["rows"][places[is_same]]
        for number in np.flatnonzero(result == 0):
            entry = next(self._find(keys[number].tobytes(), table), None)
            result[number] = 0 if entry is None else entry.rows
        return result

    def refresh(self) -> None:
        """Find the arrays that other processes have written since the store was opened."""
        self._load(merge=True)

    def _check_header(self) -> None:
        path = self.folder / HEADER_FILE
        advice = f"delete {self.folder} to compute it again"
        found = read_header(path, ArrayStoreHeader, advice)
        if found.model_dump() != self._header:
            raise TtsMetaError(f"{path}: other arrays than the name of the folder says; {advice}")

    def _load(self, merge: bool) -> None:
        """Read the new records of all shards; merge: into the sorted table."""
        with self._lock:
            started, found = time.monotonic(), list[tuple[str, Records]]()
            for path in sorted(self.folder.glob("*.index")):
                begin = self._read_bytes.get(path.stem, 0)
                records, read = read_index(path, self._row_bytes, begin)
                self._read_bytes[path.stem] = begin + read
                if len(records):
                    found.append((path.stem, records))
            if merge:
                self._merge(found)
            else:
                for name, records in found:
                    self._add_recent(name, records)
            finished = time.monotonic()
            self._next_refresh = finished + (finished - started) / _MAX_REFRESH_SHARE

    def _merge(self, found: list[tuple[str, Records]]) -> None:
        verified = [np.frombuffer(self._table.verified, np.uint8)]
        verified += [np.zeros(len(records), np.uint8) for _, records in found]
        for entry_key, entries in self._recent.items():
            for entry in entries:
                is_verified = (entry.shard, entry.start) in self._verified_recent
                verified.append(np.array([is_verified], np.uint8))
                record = np.zeros(1, RECORD)
                record["key"] = np.frombuffer(entry_key, "<u8")
                record["start"], record["rows"], record["checksum"] = entry.start, entry.rows, entry.checksum
                found.append((entry.shard, record))
        if not found:
            return
        numbers = {name: number for number, name in enumerate(self._names)}
        for name, _ in found:
            if name not in numbers:
                numbers[name] = len(self._names)
                self._names.append(name)
        records = np.concatenate([self._table.records, *(records for _, records in found)])
        owners = [np.full(len(records), numbers[name], np.int32) for name, records in found]
        order = np.argsort(records["key"][:, 0], kind="stable")
        records = records[order]
        shards = np.concatenate([self._table.shards, *owners])[order]
        prefixes = np.ascontiguousarray(records["key"][:, 0])
        flags = bytearray(np.concatenate(verified)[order].tobytes())
        self._table, self._recent = _Table(records, shards, prefixes, flags), {}
        self._verified_recent = set()

    def _add_recent(self, name: str, records: Records) -> None:
        for record in records:
            entry = _Entry(name, int(record["start"]), int(record["rows"]), int(record["checksum"]), -1)
            self._recent.setdefault(record["key"].tobytes(), []).append(entry)

    def _may_refresh(self) -> bool:
        return time.monotonic() >= self._next_refresh

    def _find(self, key: bytes, table: _Table) -> Iterator[_Entry]:
        """Yield the places of the arrays of a key."""
        yield from self._recent.get(key, ())
        words = np.frombuffer(key, "<u8")
        number = int(table.prefixes.searchsorted(words[0]))
        while number < len(table.records) and table.prefixes[number] == words[0]:
            record = table.records[number]
            if (record["key"] == words).all():
                start, rows, digest = (int(record[name]) for name in ("start", "rows", "checksum"))
                yield _Entry(self._names[table.shards[number]], start, rows, digest, number)
            number += 1

    def _valid(self, key: bytes) -> _Entry | None:
        """Return the place of the first array of a key that is not damaged."""
        table = self._table
        for entry in self._find(key, table):
            place = (entry.shard, entry.start)
            if table.verified[entry.number] if entry.number >= 0 else place in self._verified_recent:
                return entry
            array = self._bytes(entry, 0, entry.rows)
            is_finite = self.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64))
            if is_finite and checksum(array.data.cast("B")) == entry.checksum:
                if entry.number >= 0:
                    table.verified[entry.number] = 1
                else:
                    self._verified_recent.add(place)
                return entry
        return None

    def _bytes(self, entry: _Entry, begin: int, end: int) -> NDArray[Any]:
        """Return a copy of the rows `begin` to `end` of an array."""
        start = entry.start + begin * self._row_bytes
        size = (end - begin) * self._row_bytes
        mapped = self._maps.get(entry.shard)
        if mapped is None or len(mapped) < start + size:
            mapped = self._map(entry)
        if hasattr(mmap, "MADV_WILLNEED") and size > mmap.PAGESIZE:
            aligned = start - start % mmap.PAGESIZE
            mapped.madvise(mmap.MADV_WILLNEED, aligned, start + size - aligned)  # one read, not one for each page
        array = np.frombuffer(mapped, self.dtype, size // self.dtype.itemsize, start)
        return array.reshape(-1, self.width).copy()

    def _map(self, entry: _Entry) -> mmap.mmap:
        """Map the data file of a shard."""
        path, end = self._path(entry), entry.start + entry.rows * self._row_bytes
        try:
            with open(path, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise TtsMetaError(f"{path}: cannot be read ({error}); {_delete(entry)}") from error
        if len(mapped) < end:
            raise TtsMetaError(f"{path}: truncated while it is read; {_delete(entry)}")
        if hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)  # segments in random order use nothing of what follows them
        self._maps[entry.shard] = mapped
        return mapped

    def _path(self, entry: _Entry) -> Path:
        return self.folder / f"{entry.shard}.data"

    def _error(self, key: bytes) -> TtsMetaError:
        entry = next(self._find(key, self._table), None)
        if entry is None:
            return TtsMetaError(
                f"{self.folder}: the array {key.hex()[:12]} is missing; run the same command again to compute it"
            )
        return TtsMetaError(f"{self._path(entry)}: damaged, it differs from what was written; {_delete(entry)}")


def _delete(entry: _Entry) -> str:
    return f"delete {entry.shard}.data and {entry.shard}.index, and run the same command again to compute them again"
