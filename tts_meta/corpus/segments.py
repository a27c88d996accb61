"""Segments: sentences cut at pauses. Wide batches of short segments make recurrent layers faster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.corpus.batches import Example

Ints = NDArray[np.integer[Any]]

MIN_SEGMENT_SECONDS, PAUSE_SECONDS = 2.5, 0.1
"""Default minimum duration of a segment, and default minimum duration of a pause where a sentence is cut."""


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
