"""`Segments`: the segments of all utterances of a feature store, read on access."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.corpus import Example
from tts_meta.corpus.segments import Ints, Segment, find_segments
from tts_meta.train.feature_store import DiskDataset, Durations, FeatureStore


class Segments(DiskDataset):
    """Segments of the utterances of a store, read on access.

    table: one row per segment, `(P, 8)` int32: number of its utterance, its number within the utterance or -1 for the
    whole utterance, and the fields of `Segment`. frames, symbols: the length of each segment, `(P,)`. tokens: symbols
    that replace those of the store, `(S,)`.
    """

    def __init__(
        self, store: FeatureStore, durations: Durations, table: NDArray[np.int32], tokens: Ints | None = None
    ) -> None:
        self.store, self.durations, self.table = store, durations, table
        self.tokens = store.tokens if tokens is None else tokens
        self.frames = table[:, 7] - table[:, 6]
        self.symbols = table[:, 3] - table[:, 2] + 2

    @classmethod
    def uncut(cls, store: FeatureStore, durations: Durations, numbers: Iterable[int]) -> Segments:
        """Whole utterances, by number."""
        rows = []
        for n in numbers:
            frames = durations.frames[store.starts[n] : store.starts[n + 1]]
            rows.append((n, -1, 1, len(frames) - 1, frames[0], frames[-1], 0, store.frames[n]))
        return cls(store, durations, np.array(rows, np.int32).reshape(-1, 8))

    @classmethod
    def cut(cls, store: FeatureStore, durations: Durations, silent: Tensor, shortest: int, pause: int) -> Segments:
        """The segments of all utterances that have durations, cut by `find_segments`."""
        rows, quiet = [], silent.numpy()
        for n in np.flatnonzero(durations.known).tolist():
            symbols = slice(store.starts[n], store.starts[n + 1])
            found = find_segments(store.tokens[symbols], durations.frames[symbols], quiet, shortest, pause)
            rows.append(np.array([(n, number, *segment) for number, segment in enumerate(found)], np.int32))
        return cls(store, durations, np.concatenate(rows) if rows else np.zeros((0, 8), np.int32))

    def select(self, chosen: NDArray[np.bool_] | slice) -> Segments:
        """The segments that `chosen` `(P,)` marks."""
        return Segments(self.store, self.durations, self.table[chosen], self.tokens)

    def with_tokens(self, tokens: Ints) -> Segments:
        """The same segments with other symbols of the whole store, `(S,)`."""
        return Segments(self.store, self.durations, self.table, tokens)

    def __len__(self) -> int:
        return len(self.table)

    def read(self, index: int) -> Example:
        n, number, *fields = self.table[index].tolist()
        segment, store = Segment(*fields), self.store
        symbols = slice(store.starts[n], store.starts[n + 1])
        tokens = segment.symbols(torch.from_numpy(self.tokens[symbols].astype(np.int64)))
        durations = segment.durations(torch.from_numpy(self.durations.frames[symbols].astype(np.int64)))
        name = store.ids[n] if number < 0 else f"{store.ids[n]}/{number}"
        return Example(name, store.speakers[n], tokens, durations, store.mel(n, segment.begin, segment.end))
