"""The batches of an epoch: each utterance once, similar lengths, neighbours for several processes, little memory."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.corpus import bucket_batches
from tts_meta.errors import UsageError

LENGTHS = st.lists(st.integers(1, 400), max_size=60)


@given(LENGTHS, st.integers(1, 1000), st.integers(), st.integers(0, 5))
def test_each_utterance_is_in_one_batch_and_no_batch_is_over_the_limit(
    lengths: list[int], limit: int, seed: int, epoch: int
) -> None:
    batches = bucket_batches(lengths, limit, seed, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(lengths[index] for index in batch) * len(batch)
        assert padded <= limit or len(batch) == 1
    assert list(bucket_batches(lengths, limit, seed, epoch)) == list(batches)


def test_batches_change_with_the_epoch_and_the_seed_in_members_and_order() -> None:
    lengths = [100 + number % 40 for number in range(200)]
    first = bucket_batches(lengths, 1400, seed=0, epoch=0)
    for other in (
        bucket_batches(lengths, 1400, seed=0, epoch=1),
        bucket_batches(lengths, 1400, seed=1, epoch=0),
    ):
        assert {frozenset(batch) for batch in other} != {frozenset(batch) for batch in first}
    shortest = [min(lengths[index] for index in batch) for batch in first]
    assert shortest != sorted(shortest)


def test_little_of_a_batch_is_padding() -> None:
    # As in speech corpora: 1 to 16 s at 86 frames a second.
    lengths = [86 + (number * 7919) % 1290 for number in range(2000)]
    batches = bucket_batches(lengths, 12_000, seed=0, epoch=0)
    padded = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)
    assert sum(lengths) / padded > 0.93
    assert padded / len(batches) > 0.9 * 12_000


@pytest.mark.parametrize(("lengths", "limit"), [([5, 0], 10), ([5, -1], 10), ([5], 0)])
def test_lengths_and_limits_must_be_positive(lengths: list[int], limit: int) -> None:
    with pytest.raises(UsageError, match="must be at least one frame"):
        bucket_batches(lengths, limit, 0, 0)


@given(LENGTHS, st.integers(1, 1000), st.integers(1, 9))
def test_a_batch_is_closed_only_by_an_utterance_that_does_not_fit(lengths: list[int], limit: int, group: int) -> None:
    epoch = bucket_batches(lengths, limit, 0, 0, group)
    by_length = [epoch[int(place)] for place in np.argsort(epoch.order)]
    for batch, following in itertools.pairwise(by_length):
        longest = max(lengths[index] for index in [*batch, following[0]])
        assert longest * (len(batch) + 1) > limit


@given(LENGTHS, st.integers(1, 1000), st.integers(1, 9), st.integers(0, 5))
def test_a_group_of_batches_has_neighbouring_lengths_and_the_rest_comes_last(
    lengths: list[int], limit: int, group: int, seed: int
) -> None:
    epoch = bucket_batches(lengths, limit, seed, 0, group)
    assert sorted(index for batch in epoch for index in batch) == list(range(len(lengths)))
    places = epoch.order.tolist()
    for start in range(0, len(places), group):
        part = places[start : start + group]
        assert part == list(range(part[0], part[0] + len(part)))
        assert len(part) == group or start + group > len(places)


def test_the_arrays_of_a_million_utterances_take_at_most_64_bytes_each() -> None:
    lengths = np.random.default_rng(0).integers(86, 1376, 1_000_000).astype(np.int32)
    tracemalloc.start()
    epoch = bucket_batches(lengths, 12_000, 0, 0)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 8 * len(lengths) and most < 64 * len(lengths)
    assert sum(len(batch) for batch in epoch) == len(lengths)


def test_a_group_of_no_batches_is_refused() -> None:
    with pytest.raises(UsageError, match="group must be 1 or more, not 0"):
        bucket_batches([5], 10, 0, 0, 0)
