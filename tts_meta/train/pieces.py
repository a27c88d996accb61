"""Long recordings cut at their pauses, so that batches are wide and short, which recurrent layers run faster."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tts_meta.corpus import Example


def cut_at_pauses(example: Example, silent: Tensor, shortest: int, pause: int) -> Iterator[Example]:
    """Yield pieces of at least `shortest` frames, cut in the middle of pauses of at least `pause` frames.

    `silent (V,)` marks the symbols of pauses. A cut gives half of the pause to the end mark of the piece before it and
    half to the start mark of the one after. Symbols and frames are all kept, and the shortest piece is the last.
    """
    tokens, durations = example.tokens, example.durations
    start_mark, end_mark = tokens[:1], tokens[-1:]
    edges = torch.nn.functional.pad(durations.cumsum(0), (1, 0)).tolist()
    first, lead, begin = 1, int(durations[0]), 0
    number = 0
    for place in range(1, len(tokens) - 1):
        length = int(durations[place])
        middle = edges[place] + length // 2
        if not silent[tokens[place]] or length < pause or middle - begin < shortest:
            continue
        if edges[-1] - middle < shortest:
            break
        yield Example(
            f"{example.id}/{number}",
            example.speaker,
            torch.cat([start_mark, tokens[first:place], end_mark]),
            torch.cat([torch.tensor([lead]), durations[first:place], torch.tensor([length // 2])]),
            example.mel[begin:middle],
        )
        first, lead, begin, number = place + 1, length - length // 2, middle, number + 1
    yield Example(
        f"{example.id}/{number}",
        example.speaker,
        torch.cat([start_mark, tokens[first:]]),
        torch.cat([torch.tensor([lead]), durations[first:]]),
        example.mel[begin:],
    )
