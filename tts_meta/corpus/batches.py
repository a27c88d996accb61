"""Padded batches of utterances, and grouping of utterances of similar length."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tts_meta.errors import UsageError

PADDING_TOKEN = 0
SILENT_MEL = math.log(1e-5)
"""Natural logarithm of the mel floor, which is digital silence. Padding with zero would be sound at amplitude 1."""

_GROUP_JITTER = 1.25
"""Sequences whose lengths differ by less than this factor can change places between groups."""


@dataclass(frozen=True, eq=False, repr=False)
class Example:
    """One utterance as input of the models.

    tokens: `(N,)` int64 symbol ids. durations: `(N,)` int64 frames per token. mel: `(T, M)` float32, natural log.
    samples: `(T * hop,)` float32 waveform of the mel, or None. source: `fingerprint` of the recording's file, or empty.
    """

    id: str
    speaker: str
    tokens: Tensor
    durations: Tensor
    mel: Tensor
    samples: Tensor | None = None
    source: str = ""

    def __repr__(self) -> str:
        return f"Example({self.id!r} of {self.speaker!r}, {len(self.tokens)} symbols, {len(self.mel)} frames)"


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """Utterances padded to one size; positions beyond an utterance's length are padding.

    speaker, token_lengths, mel_lengths: `(B,)` int64. tokens, durations: `(B, N)` int64, padded with 0.
    mel: `(B, T, M)` float32, padded with `SILENT_MEL`. all_frames, all_symbols: `()` int64, numbers of frames and
    symbols without padding. If several processes share a batch, these are the numbers of the full batch. Each process
    then divides the sum of the losses of its part by them.
    """

    ids: tuple[str, ...]
    speaker: Tensor
    tokens: Tensor
    token_lengths: Tensor
    durations: Tensor
    mel: Tensor
    mel_lengths: Tensor
    all_frames: Tensor
    all_symbols: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """Return this batch with every tensor on `device`; copies from pinned memory are asynchronous."""
        # A copy to the CPU must not be asynchronous: the values could be read before they arrive.
        to_gpu = torch.device(device).type == "cuda"
        return self._each(lambda tensor: tensor.to(device, non_blocking=to_gpu))

    def pin_memory(self) -> Batch:
        """Return this batch in pinned memory, from which a GPU copies asynchronously."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors = {field.name: change(getattr(self, field.name)) for field in fields(self) if field.name != "ids"}
        return Batch(ids=self.ids, **tensors)

    def __repr__(self) -> str:
        return f"Batch({len(self.tokens)} sentences, {self.tokens.shape[1]} symbols, {self.mel.shape[1]} frames)"


def collate(
    examples: Sequence[Example], speaker_index: Mapping[str, int], multiple_of: int = 1, min_frames: int = 0
) -> Batch:
    """Pad examples into one batch; `mel_lengths` are the lengths without padding.

    The number of frames T is that of the longest example, or `min_frames` if that is more, rounded up to a multiple of
    `multiple_of`.

    Raises UsageError if there is no example, a speaker is not in `speaker_index`, shapes do not match, or
    `multiple_of` < 1.
    """
    if not examples:
        raise UsageError("a batch needs at least one example")
    if multiple_of < 1:
        raise UsageError(f"multiple_of must be at least 1, not {multiple_of}")
    bands = examples[0].mel.shape[-1]
    for example in examples:
        _check(example, bands, speaker_index)
    mel = pad_sequence(
        [example.mel for example in examples],
        batch_first=True,
        padding_value=SILENT_MEL,
    )
    size = max(mel.shape[1], min_frames)
    missing = size + -size % multiple_of - mel.shape[1]
    if missing:
        mel = torch.nn.functional.pad(mel, (0, 0, 0, missing), value=SILENT_MEL)
    return Batch(
        ids=tuple(example.id for example in examples),
        speaker=torch.tensor([speaker_index[example.speaker] for example in examples]),
        tokens=pad_sequence([example.tokens for example in examples], True, PADDING_TOKEN),
        token_lengths=torch.tensor([len(example.tokens) for example in examples]),
        durations=pad_sequence([example.durations for example in examples], True, 0),
        mel=mel,
        mel_lengths=torch.tensor([len(example.mel) for example in examples]),
        all_frames=torch.tensor(sum(len(example.mel) for example in examples)),
        all_symbols=torch.tensor(sum(len(example.tokens) for example in examples)),
    )


def group_by_length(lengths: Sequence[int], count: int, generator: random.Random | None = None) -> list[list[int]]:
    """Divide the indices of `lengths` into `count` groups with nearly the same total; each index is in one group.

    The lengths in a group are similar, so that a padded batch has little padding. `generator` draws the groups and
    their order; without it, the lengths are in ascending order. Raises UsageError unless 1 <= `count` <= number of
    lengths.
    """
    if not 1 <= count <= len(lengths):
        raise UsageError(f"{len(lengths)} lengths cannot be divided into {count} groups; give 1 to {len(lengths)}")
    factors = [1.0 if generator is None else generator.uniform(1.0, _GROUP_JITTER) for _ in lengths]
    order = sorted(range(len(lengths)), key=lambda index: lengths[index] * factors[index])
    groups: list[list[int]] = [[]]
    done, total = 0.0, sum(lengths)
    for position, index in enumerate(order):
        # The middle of a sequence decides in which group it is, unless a group would stay empty.
        is_past = done + lengths[index] / 2 > total * len(groups) / count
        is_last_chance = len(order) - position == count - len(groups)
        if groups[-1] and len(groups) < count and (is_past or is_last_chance):
            groups.append([])
        groups[-1].append(index)
        done += lengths[index]
    if generator is not None:
        generator.shuffle(groups)
    return groups


def _check(example: Example, bands: int, speaker_index: Mapping[str, int]) -> None:
    if example.speaker not in speaker_index:
        known = ", ".join(sorted(speaker_index)) or "none"
        raise UsageError(f"{example.id}: speaker {example.speaker!r} is not among the model's speakers: {known}")
    if example.tokens.ndim != 1 or example.durations.shape != example.tokens.shape:
        shapes = f"{tuple(example.tokens.shape)} and {tuple(example.durations.shape)}"
        raise UsageError(f"{example.id}: tokens and durations must both be (N,), not {shapes}")
    if example.mel.ndim != 2 or example.mel.shape[1] != bands:
        raise UsageError(f"{example.id}: mel must be (T, {bands}), not {tuple(example.mel.shape)}")
