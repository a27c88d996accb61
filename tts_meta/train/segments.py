"""Segments: long recordings cut at pauses. Wide batches of short segments make recurrent layers faster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.corpus import Example
from tts_meta.train.feature_store import DiskDataset, Durations, FeatureStore, Ints


class Segment(NamedTuple):
    """The position of a segment in its utterance.

    It has the symbols `first` to `last` and the frames `begin` to `end` of the utterance. A start mark of `lead` frames
    and an end mark of `tail` frames surround its symbols.
    """

    first: int
    last: int
    lead: int
    tail: int
    begin: int
    end: int

    def symbols(self, tokens: Tensor) -> Tensor:
        """Symbols of the utterance `(N,)` to those of the segment `(N',)`."""
        return torch.cat([tokens[:1], tokens[self.first : self.last], tokens[-1:]])

    def durations(self, durations: Tensor) -> Tensor:
        """Durations of the utterance `(N,)` to those of the segment `(N',)`."""
        inner = durations[self.first : self.last]
        return torch.cat([torch.tensor([self.lead]), inner, torch.tensor([self.tail])])


def find_segments(
    tokens: Ints, durations: Ints, silent: NDArray[np.bool_], shortest: int, pause: int
) -> Iterator[Segment]:
    """Yield segments of at least `shortest` frames, cut in the middle of pauses of at least `pause` frames.

    `silent (V,)` marks the symbols of pauses. A cut gives half of the pause to the end mark of the segment before it
    and half to the start mark of the next segment. All symbols and frames are kept, and the last segment is the
    shortest.
    """
    ends = np.cumsum(durations)
    total = int(ends[-1])
    first, lead, begin = 1, int(durations[0]), 0
    for place in np.flatnonzero(silent[tokens] & (durations >= pause)).tolist():
        length = int(durations[place])
        middle = int(ends[place]) - length + length // 2
        if place in (0, len(tokens) - 1) or middle - begin < shortest:
            continue
        if total - middle < shortest:
            break
        yield Segment(first, place, lead, length // 2, begin, middle)
        first, lead, begin = place + 1, length - length // 2, middle
    yield Segment(first, len(tokens) - 1, lead, int(durations[-1]), begin, total)


def segment_example(example: Example, silent: Tensor, shortest: int, pause: int) -> Iterator[Example]:
    """Yield the segments of an example with durations, cut by `find_segments`."""
    segments = find_segments(example.tokens.numpy(), example.durations.numpy(), silent.numpy(), shortest, pause)
    for number, segment in enumerate(segments):
        tokens, durations = segment.symbols(example.tokens), segment.durations(example.durations)
        mel = example.mel[segment.begin : segment.end]
        yield Example(f"{example.id}/{number}", example.speaker, tokens, durations, mel)


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
