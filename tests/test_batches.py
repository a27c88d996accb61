from __future__ import annotations

import math
import random
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_meta.corpus import Batch, Example, collate, group_by_length
from tts_meta.errors import UsageError

SPEAKERS = {"anna": 4, "bob": 1}


def example(tokens: int, frames: int, name: str = "a", speaker: str = "anna", bands: int = 3) -> Example:
    return Example(
        id=name,
        speaker=speaker,
        tokens=torch.randint(1, 50, (tokens,)),
        durations=torch.randint(0, 9, (tokens,)),
        mel=torch.randn(frames, bands),
    )


@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 9), st.sampled_from(sorted(SPEAKERS))),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 5),
)
@settings(max_examples=50, deadline=None)
def test_a_batch_contains_every_example_and_only_padding_otherwise(
    sizes: list[tuple[int, int, str]], multiple: int
) -> None:
    examples = [example(n, t, f"u{number}", speaker) for number, (n, t, speaker) in enumerate(sizes)]
    batch = collate(examples, SPEAKERS, multiple)

    longest = max(t for _, t, _ in sizes)
    assert batch.mel.shape[1] % multiple == 0
    assert longest <= batch.mel.shape[1] < longest + multiple
    assert batch.tokens.shape[1] == max(n for n, _, _ in sizes)
    assert len(batch) == len(examples)
    for row, item in enumerate(examples):
        n, t = int(batch.token_lengths[row]), int(batch.mel_lengths[row])
        assert batch.ids[row] == item.id
        assert int(batch.speaker[row]) == SPEAKERS[item.speaker]
        assert torch.equal(batch.tokens[row, :n], item.tokens)
        assert torch.equal(batch.durations[row, :n], item.durations)
        assert torch.equal(batch.mel[row, :t], item.mel)
        assert not batch.tokens[row, n:].any() and not batch.durations[row, n:].any()
        assert torch.equal(batch.mel[row, t:], torch.full_like(batch.mel[row, t:], math.log(1e-5)))


def test_a_batch_has_the_dtypes_of_its_contract() -> None:
    batch = collate([example(2, 5), example(4, 3)], SPEAKERS)
    dtypes = {field.name: getattr(batch, field.name).dtype for field in fields(batch) if field.name != "ids"}
    assert dtypes.pop("mel") == torch.float32
    assert set(dtypes.values()) == {torch.int64}


def test_a_batch_can_be_padded_further_and_counts_what_it_holds() -> None:
    pair = [example(2, 5), example(4, 3)]
    batch = collate(pair, SPEAKERS, multiple_of=3, min_frames=8)
    assert batch.mel.shape[1] == 9 and batch.mel_lengths.tolist() == [5, 3]
    assert (int(batch.all_frames), int(batch.all_symbols)) == (8, 6)
    assert torch.equal(batch.mel[0, 5:], torch.full((4, 3), math.log(1e-5)))
    assert torch.equal(collate(pair, SPEAKERS, min_frames=2).mel, collate(pair, SPEAKERS).mel)


def test_moving_a_batch_moves_every_tensor_and_leaves_the_first() -> None:
    batch = collate([example(2, 5), example(4, 3)], SPEAKERS)
    moved = batch.to("meta")
    tensors = [field.name for field in fields(Batch) if field.name != "ids"]
    assert {getattr(moved, name).device.type for name in tensors} == {"meta"}
    assert {getattr(batch, name).device.type for name in tensors} == {"cpu"}
    assert moved.ids == batch.ids
    assert moved.mel.shape == batch.mel.shape


def test_a_batch_cannot_be_changed() -> None:
    batch = collate([example(2, 5)], SPEAKERS)
    with pytest.raises(FrozenInstanceError):
        batch.mel = torch.zeros(1)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (
            example(2, 5, "b", "zoe"),
            "b: speaker 'zoe' is not among the model's speakers: anna, bob",
        ),
        (example(2, 5, "b", bands=4), r"b: mel must be \(T, 3\), not \(5, 4\)"),
        (
            replace(example(2, 5, "b"), mel=torch.zeros(5)),
            r"b: mel must be \(T, 3\), not \(5,\)",
        ),
        (
            replace(example(2, 5, "b"), durations=torch.zeros(3)),
            r"b: tokens and durations .* not \(2,\) and \(3,\)",
        ),
    ],
)
def test_an_example_that_does_not_fit_is_named(second: Example, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        collate([example(2, 5), second], SPEAKERS)


def test_no_examples_and_no_multiple_are_refused() -> None:
    with pytest.raises(UsageError, match="needs at least one example"):
        collate([], SPEAKERS)
    with pytest.raises(UsageError, match="multiple_of must be at least 1, not 0"):
        collate([example(2, 5)], SPEAKERS, 0)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.data())
def test_groups_contain_each_index_once_and_are_never_empty(lengths: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(lengths)))
    generator = random.Random(0) if data.draw(st.booleans()) else None
    groups = group_by_length(lengths, count, generator)
    assert len(groups) == count
    assert all(groups)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert sum(lengths[index] for index in group) <= sum(lengths) / count + 2 * max(lengths)


def test_groups_have_similar_lengths_and_differ_between_draws() -> None:
    lengths = [100 + 10 * (number * 7 % 40) for number in range(40)]
    draws = [group_by_length(lengths, 5, random.Random(seed)) for seed in range(3)]
    assert draws[0] != draws[1] != draws[2]
    padded = sum(max(lengths[index] for index in group) * len(group) for group in draws[0])
    assert padded < 1.35 * sum(lengths), "padded batches are mostly filled; random groups would double the frames"


@pytest.mark.parametrize("count", [0, 3])
def test_a_wrong_number_of_groups_is_one_clear_error(count: int) -> None:
    with pytest.raises(UsageError, match=f"2 lengths cannot be divided into {count} groups; give 1 to 2"):
        group_by_length([5, 6], count)
