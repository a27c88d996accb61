"""`bucket_batches`: the batches of an epoch, each of utterances of similar length, in a few arrays."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tts_meta.errors import UsageError

_BUCKET_RATIO = 1.1
"""Utterances whose lengths differ by less than about this factor are shuffled between epochs."""

Ints = npt.NDArray[np.signedinteger[Any]]


class EpochBatches(Sequence[list[int]]):
    """The batches of an epoch, each a list of indices of utterances.

    members: all indices, `(N,)`; batch b has those from `starts[b]` to `starts[b + 1]`, with `starts` `(B + 1,)`.
    order: the batches in the order of training, `(B,)`.
    """

    def __init__(self, members: Ints, starts: Ints, order: Ints) -> None:
        self.members, self.starts, self.order = members, starts, order

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        batch = self.order[index]
        return self.members[self.starts[batch] : self.starts[batch + 1]].tolist()

    def __iter__(self) -> Iterator[list[int]]:
        return (self[number] for number in range(len(self)))


def bucket_batches(
    lengths: Sequence[int] | Ints, frames_per_batch: int, seed: int, epoch: int, group: int = 1
) -> EpochBatches:
    """Group the indices of `lengths` (frames) into batches of similar length. Each index is in exactly one batch.

    A batch has at most `frames_per_batch` frames, including padding; a longer utterance is a batch alone. Members and
    order change with `epoch`. The same arguments give the same batches. `group` batches of similar length are
    neighbours in the order, so that as many processes can take one each and need about the same time; the last batches
    are fewer than `group` if the number of batches is not a multiple of it.
    Raises UsageError if a length, `frames_per_batch` or `group` is not positive.
    """
    frames = np.asarray(lengths, np.int64)
    if group < 1:
        raise UsageError(f"group must be 1 or more, not {group}")
    if frames_per_batch < 1 or (len(frames) and int(frames.min()) < 1):
        raise UsageError("lengths and frames_per_batch must be at least one frame; drop empty utterances first")
    generator = np.random.default_rng(random.Random(f"{seed}/{epoch}").getrandbits(128))
    members = generator.permutation(len(frames)).astype(np.int32 if len(frames) < 2**31 else np.int64)
    buckets = (np.log(frames) / np.log(_BUCKET_RATIO)).astype(np.int16)
    # The sort is stable, so indices of one bucket keep their shuffled order.
    members = members[np.argsort(buckets[members], kind="stable")]
    starts = _fill(frames[members], frames_per_batch)
    return EpochBatches(members, starts, _shuffle_groups(len(starts) - 1, group, generator))


def _fill(frames: npt.NDArray[np.int64], frames_per_batch: int) -> Ints:
    """Return where batches start, `(B + 1,)`, if each takes as many of the next utterances as fit; frames `(N,)`."""
    starts = [0]
    while starts[-1] < len(frames):
        begin = starts[-1]
        longest = np.maximum.accumulate(frames[begin : begin + max(1, frames_per_batch // int(frames[begin]))])
        fits = longest * np.arange(1, len(longest) + 1) <= frames_per_batch
        starts.append(begin + max(1, int(fits.sum())))
    return np.array(starts)


def _shuffle_groups(batches: int, group: int, generator: np.random.Generator) -> Ints:
    """Return a random order of batches, `(batches,)`, in which groups of neighbours stay together.

    The group that is smaller than the others is the last in the order; its batches are neighbours at a random place.
    """
    groups, rest = divmod(batches, group)
    before = int(generator.integers(groups + 1)) * group
    full = np.delete(np.arange(batches), slice(before, before + rest)).reshape(groups, group)
    return np.concatenate([full[generator.permutation(groups)].ravel(), np.arange(before, before + rest)])
