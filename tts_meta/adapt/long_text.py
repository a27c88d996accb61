"""`slice_by_text`: cut a long recording into sentences by its text, with the aligner of the base.

Speech recognition is not needed. The whole text is aligned with the whole recording, so every word of the text must be
spoken, and every word that is spoken must be in the text.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.adapt.diagnosis import scores_are_known
from tts_meta.adapt.recordings import Recording
from tts_meta.asr.files import check_slices, needs_slices
from tts_meta.asr.slicing import MAX_SLICE_SECONDS, WordGroup, cut_words
from tts_meta.asr.words import Slice, Word, join_words
from tts_meta.audio import MelSpec
from tts_meta.audio.long_recording import header_seconds, read_long_recording
from tts_meta.corpus.audio_part import part_of, split_part
from tts_meta.errors import TtsMetaError
from tts_meta.models.aligner import Alignment
from tts_meta.models.pretrained import Base

MAX_CELLS = 2**29
"""Largest number of frames times symbols: about 10 minutes. The search keeps a byte for each of them."""

MAX_ALIGNED_SECONDS = 1200.0
"""Longest recording that is aligned at once, seconds."""
_TOLERANCE = 2.0
"""As in `Aligner.matches`. It is lower than for a sentence, because a text may be wrong in a part of a slice only."""


def divide_recordings(recordings: Sequence[Recording], base: Base, warn: Callable[[str], None]) -> list[Recording]:
    """Return the recordings with the slices of those that are too long for one sentence in place of them.

    warn: called with a line for each slice that is not used. Raises TtsMetaError as `slice_by_text`, and if no slice of
    a recording can be used.
    """
    divided = list[Recording]()
    for recording in recordings:
        if split_part(recording.audio)[0] != recording.audio or not needs_slices(recording.audio, True):
            divided.append(recording)
            continue
        slices = slice_by_text(recording.audio, recording.text, base)
        for part in slices:
            source = part_of(recording.audio, part.start, part.end)
            if part.fault is None:
                divided.append(dataclasses.replace(recording, audio=source, text=part.text))
            else:
                warn(f"{source}: not used, {part.fault}")
        check_slices(recording.audio, slices)
    return divided


def slice_by_text(path: Path, text: str, base: Base) -> list[Slice]:
    """Return the slices of a recording with their parts of the text.

    The confidence is the mean probability of the symbols. Raises TtsMetaError, naming the file, if it cannot be read,
    is too long, or the text cannot be spoken in it.
    """
    _check_length(path, header_seconds(path))
    samples = read_long_recording(path, base.config.audio.mel.sample_rate)
    seconds = len(samples) / base.config.audio.mel.sample_rate
    _check_length(path, seconds)
    units = _units(text)
    tokens, ranges = _encode(units, base, path)
    with torch.inference_mode():
        mel = MelSpec(base.config.audio.mel)(torch.from_numpy(samples)[None])[0].clone()
    if len(mel) * len(tokens) > MAX_CELLS:
        raise _too_long(path, seconds)
    words = _timed(units, ranges, tokens, base.aligner.align(mel, tokens, base.kinds, str(path)), base)
    speech = [(word.start, word.end) for word in words]
    groups = cut_words(words, speech, seconds)
    return [_slice(group, base) for group in groups]


def _check_length(path: Path, seconds: float) -> None:
    if seconds > MAX_ALIGNED_SECONDS:
        raise _too_long(path, seconds)


def _too_long(path: Path, seconds: float) -> TtsMetaError:
    minutes = f"{seconds / 60:.0f} minutes"
    return TtsMetaError(f"{path}: {minutes} are too long for an alignment without speech recognition; add --asr")


def _units(text: str) -> list[str]:
    """Return the words of a text with their punctuation. Each has a letter or a digit."""
    units = list[str]()
    for token in text.split():
        if units and not any(character.isalnum() for character in token):
            units[-1] += f" {token}"
        else:
            units.append(token)
    return units


def _encode(units: list[str], base: Base, path: Path) -> tuple[Tensor, list[tuple[int, int]]]:
    """Return the symbols `(N,)` of all words, with a boundary between two words, and the range of each word."""
    space = torch.tensor([base.symbols.symbols.index(" ") + 1])
    parts, ranges, end = list[Tensor](), list[tuple[int, int]](), torch.empty(0, dtype=torch.int64)
    for unit in units:
        try:
            encoded = base.encode(unit)
        except TtsMetaError as error:
            raise TtsMetaError(f"{path}: its transcript cannot be spoken: {error}") from error
        inner, end = encoded[1:-1], encoded[-1:]
        if not parts:
            parts.append(encoded[:1])
        elif not base.kinds.silent[parts[-1][-1]]:
            parts.append(space)
        count = sum(map(len, parts))
        ranges.append((count, count + len(inner)))
        parts.append(inner)
    return torch.cat([*parts, end]), ranges


def _timed(
    units: list[str], ranges: list[tuple[int, int]], tokens: Tensor, alignment: Alignment, base: Base
) -> list[Word]:
    """Return each unit with its times and its mean probability."""
    frame, silent = base.config.audio.mel.frame_seconds, base.kinds.silent[tokens]
    durations, log_probabilities = alignment.durations, alignment.log_probabilities
    assert log_probabilities is not None
    ends = durations.cumsum(0)
    words = list[Word]()
    for unit, (first, last) in zip(units, ranges, strict=True):
        spoken = torch.arange(first, last)[~silent[first:last]]
        begin, end = int(ends[spoken[0]] - durations[spoken[0]]), int(ends[spoken[-1]])
        weights = durations[spoken].float()
        mean = float((log_probabilities[spoken] * weights).sum() / weights.sum())
        words.append(Word(f" {unit}", begin * frame, end * frame, math.exp(mean)))
    return words


def _slice(group: WordGroup, base: Base) -> Slice:
    seconds = group.end - group.start
    spoken = sum(word.end - word.start for word in group.words)
    log_probability = sum(math.log(word.probability) * (word.end - word.start) for word in group.words) / spoken
    fault = None
    if scores_are_known(base) and not base.aligner.matches(log_probability, _TOLERANCE):
        fault = "the text does not agree with the speech"
    elif seconds > MAX_SLICE_SECONDS:
        fault = f"{seconds:.1f} s without a pause to cut at; the limit is {MAX_SLICE_SECONDS:.0f} s"
    return Slice(group.start, group.end, join_words(group.words), round(math.exp(log_probability), 3), fault)
