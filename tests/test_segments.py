"""Cutting recordings at their pauses."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.corpus import Example
from tts_meta.corpus.segments import segment_example

SILENT = torch.tensor([False, True, True, True, False, False])  # padding, start, end, pause, two phones


def _example(inner: list[tuple[int, int]]) -> Example:
    tokens = torch.tensor([1, *(token for token, _ in inner), 2])
    durations = torch.tensor([4, *(frames for _, frames in inner), 5])
    frames = int(durations.sum())
    return Example("x", "s", tokens, durations, torch.arange(frames, dtype=torch.float32)[:, None].expand(-1, 2))


def test_a_cut_gives_each_side_half_of_the_pause() -> None:
    segments = list(segment_example(_example([(4, 10), (3, 9), (5, 12)]), SILENT, shortest=10, pause=8))
    assert [segment.tokens.tolist() for segment in segments] == [[1, 4, 2], [1, 5, 2]]
    assert [segment.durations.tolist() for segment in segments] == [[4, 10, 4], [5, 12, 5]]
    assert segments[1].mel[0, 0] == 18  # 4 + 10 + half of 9


def test_short_pauses_and_short_ends_are_not_cut() -> None:
    assert len(list(segment_example(_example([(4, 30), (3, 7), (5, 30)]), SILENT, shortest=10, pause=8))) == 1
    assert len(list(segment_example(_example([(4, 30), (3, 9), (5, 2)]), SILENT, shortest=20, pause=8))) == 1


@given(st.lists(st.tuples(st.sampled_from([3, 4, 5]), st.integers(0, 30)), min_size=1, max_size=40), st.integers(5, 80))
def test_every_frame_and_every_phone_is_in_exactly_one_piece(inner: list[tuple[int, int]], shortest: int) -> None:
    whole = _example(inner)
    segments = list(segment_example(whole, SILENT, shortest, pause=8))
    assert torch.equal(torch.cat([segment.mel for segment in segments]), whole.mel)
    assert {segment.speaker for segment in segments} == {whole.speaker}
    phones = torch.cat([segment.tokens[~SILENT[segment.tokens]] for segment in segments])
    assert torch.equal(phones, whole.tokens[~SILENT[whole.tokens]])
    for segment in segments:
        assert int(segment.durations.sum()) == len(segment.mel)
        assert len(segments) == 1 or len(segment.mel) >= shortest
