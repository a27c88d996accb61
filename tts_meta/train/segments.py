"""Long recordings cut at their pauses, so that batches are wide and short, which recurrent layers run faster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.corpus import Example
from tts_meta.train.feature_store import Durations, Ints, OnDisk, Store


class Piece(NamedTuple):
    """Where a piece lies in its utterance.

    Symbols `first` to `last`, besides the marks of start and end, which stand for `lead` and `tail` frames; frames
    `begin` to `end`.
    """

    first: int
    last: int
    lead: int
    tail: int
    begin: int
    end: int

    def symbols(self, tokens: Tensor) -> Tensor:
        """The piece's symbols of those of the utterance, `(N,)` to `(N',)`."""
        return torch.cat([tokens[:1], tokens[self.first : self.last], tokens[-1:]])

    def durations(self, durations: Tensor) -> Tensor:
        """The piece's durations of those of the utterance, `(N,)` to `(N',)`."""
        inner = durations[self.first : self.last]
        return torch.cat([torch.tensor([self.lead]), inner, torch.tensor([self.tail])])


def find_pieces(tokens: Ints, durations: Ints, silent: NDArray[np.bool_], shortest: int, pause: int) -> Iterator[Piece]:
    """Yield pieces of at least `shortest` frames, cut in the middle of pauses of at least `pause` frames.

    `silent (V,)` marks the symbols of pauses. A cut gives half of the pause to the end mark of the piece before it and
    half to the start mark of the one after. Symbols and frames are all kept, and the shortest piece is the last.
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
        yield Piece(first, place, lead, length // 2, begin, middle)
        first, lead, begin = place + 1, length - length // 2, middle
    yield Piece(first, len(tokens) - 1, lead, int(durations[-1]), begin, total)


def cut_at_pauses(example: Example, silent: Tensor, shortest: int, pause: int) -> Iterator[Example]:
    """Yield the pieces of an example with durations, as `find_pieces` says."""
    found = find_pieces(example.tokens.numpy(), example.durations.numpy(), silent.numpy(), shortest, pause)
    for number, piece in enumerate(found):
        tokens, durations = piece.symbols(example.tokens), piece.durations(example.durations)
        mel = example.mel[piece.begin : piece.end]
        yield Example(f"{example.id}/{number}", example.speaker, tokens, durations, mel)


class Pieces(OnDisk):
    """Pieces of a store's utterances, each read when it is asked for.

    table: a row for each, `(P, 8)` int32: number of its utterance, its number there or -1 for the whole utterance, and
    the fields of `Piece`. frames, symbols: how long each is, `(P,)`. tokens: symbols in place of the store's, `(S,)`.
    """

    def __init__(
        self, store: Store, durations: Durations, table: NDArray[np.int32], tokens: Ints | None = None
    ) -> None:
        self.store, self.durations, self.table = store, durations, table
        self.tokens = store.tokens if tokens is None else tokens
        self.frames = table[:, 7] - table[:, 6]
        self.symbols = table[:, 3] - table[:, 2] + 2

    @classmethod
    def whole(cls, store: Store, durations: Durations, numbers: Iterable[int]) -> Pieces:
        """Utterances by number, uncut."""
        rows = []
        for n in numbers:
            own = durations.frames[store.starts[n] : store.starts[n + 1]]
            rows.append((n, -1, 1, len(own) - 1, own[0], own[-1], 0, store.frames[n]))
        return cls(store, durations, np.array(rows, np.int32).reshape(-1, 8))

    @classmethod
    def cut(cls, store: Store, durations: Durations, silent: Tensor, shortest: int, pause: int) -> Pieces:
        """The pieces of all utterances that have durations, as `find_pieces` says."""
        rows, quiet = [], silent.numpy()
        for n in np.flatnonzero(durations.known).tolist():
            own = slice(store.starts[n], store.starts[n + 1])
            found = find_pieces(store.tokens[own], durations.frames[own], quiet, shortest, pause)
            rows.append(np.array([(n, number, *piece) for number, piece in enumerate(found)], np.int32))
        return cls(store, durations, np.concatenate(rows) if rows else np.zeros((0, 8), np.int32))

    def where(self, chosen: NDArray[np.bool_] | slice) -> Pieces:
        """Those pieces that are `chosen (P,)`."""
        return Pieces(self.store, self.durations, self.table[chosen], self.tokens)

    def with_tokens(self, tokens: Ints) -> Pieces:
        """The same pieces of other symbols, those of the whole store `(S,)`."""
        return Pieces(self.store, self.durations, self.table, tokens)

    def __len__(self) -> int:
        return len(self.table)

    def read(self, place: int) -> Example:
        n, number, *fields = self.table[place].tolist()
        piece, store = Piece(*fields), self.store
        own = slice(store.starts[n], store.starts[n + 1])
        tokens = piece.symbols(torch.from_numpy(self.tokens[own].astype(np.int64)))
        durations = piece.durations(torch.from_numpy(self.durations.frames[own].astype(np.int64)))
        name = store.ids[n] if number < 0 else f"{store.ids[n]}/{number}"
        return Example(name, store.speakers[n], tokens, durations, store.mel(n, piece.begin, piece.end))
