"""`Shard`: the part of a corpus that one job of a job array prepares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tts_meta.errors import UsageError

_MAX_SHARDS = 99_999


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1, of `count` parts of equal length. Part 1 of 1 is the whole corpus."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard of a text such as `3/64`. Raises UsageError for another form or number."""
        match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]) <= _MAX_SHARDS:
            raise UsageError(f"invalid shard {text!r}; give NUMBER/COUNT with numbers from 1, such as 3/64")
        return cls(int(match[1]), int(match[2]))

    def range_of(self, total: int) -> range:
        """Return the numbers, from 0, of the recordings of this shard among `total` recordings."""
        return range(total * (self.number - 1) // self.count, total * self.number // self.count)

    def path(self, folder: Path) -> Path:
        """Return the file of this shard in a folder of parts."""
        return folder / f"{self.number:05d}-of-{self.count:05d}.part"
