"""Training examples from a manifest: symbols, cached features, durations from the aligner; and their batches."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Batch, Example, Manifest, bucket_batches, collate
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file
from tts_meta.models.alignment_cache import AlignmentCache
from tts_meta.models.pretrained import Base
from tts_meta.train.distributed import rank_and_world
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.prefetch import prefetch
from tts_meta.train.segments import Segments
from tts_meta.train.training_config import TrainingConfig

_TOLERANCE = 1.5
"""Tolerance of alignment scores. It is stricter than for new speakers, because a corpus has thousands of sentences."""


def load_examples(manifest: Manifest, base: Base, cache: FeatureCache, workers: int = 2) -> Iterator[Example]:
    """Yield one example per utterance, without durations; features come from the cache if it has them."""

    def load(number: int) -> Example:
        utterance = manifest.utterances[number]
        tokens = base.encode(utterance.text, utterance.phonemes)
        return Example(utterance.id, utterance.speaker, tokens, torch.zeros_like(tokens), cache.mel(utterance.source))

    return prefetch(range(len(manifest)), load, workers, max_pending=2 * workers)


def align_examples(examples: Iterable[Example], base: Base, excluded: Path) -> Iterator[Example]:
    """Yield the examples with durations; list those that do not match their transcripts in `excluded` (JSONL)."""
    rejected = []
    for example in examples:
        aligned = align_example(example, base)
        if isinstance(aligned, str):
            rejected.append({"id": example.id, "reason": aligned})
        else:
            yield aligned
    with atomic_file(excluded) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in rejected), encoding="utf-8")


def align_example(example: Example, base: Base, cache: AlignmentCache | None = None) -> Example | str:
    """The example with durations, or the reason why its recording does not match its transcript.

    cache: keeps the alignments on disk; without it nothing is read or written.
    """
    align = base.align if cache is None else cache.align
    try:
        tokens, alignment = align(example.mel, example.tokens, example.id)
    except TtsMetaError as error:
        return str(error)
    if not base.aligner.matches(alignment.score, _TOLERANCE):
        return f"does not match its transcript (alignment score {alignment.score:.2f})"
    return dataclasses.replace(example, tokens=tokens, durations=alignment.durations)


def segment_utterances(
    store: FeatureStore, durations: Durations, base: Base, min_segment_seconds: float, pause_seconds: float
) -> Segments:
    """Segments of aligned utterances, cut at pauses, of at least `min_segment_seconds`; 0: utterances are not cut.

    Their punctuation symbols match the pauses of the recordings.
    """
    frame = base.config.audio.mel.frame_seconds
    if min_segment_seconds:
        shortest, pause = round(min_segment_seconds / frame), max(1, round(pause_seconds / frame))
        segments = Segments.cut(store, durations, base.silent, shortest, pause)
    else:
        segments = Segments.uncut(store, durations, np.flatnonzero(durations.known).tolist())
    tokens = base.mark_pauses(torch.from_numpy(store.tokens.astype(np.int16)), torch.from_numpy(durations.frames))
    return segments.with_tokens(tokens.numpy())


class BatchStream:
    """Endless batches in a seeded order, which can start at any position, so that a run can resume.

    `threads` threads prepare batches ahead, in pinned memory for the device `cuda`. Under `torchrun` process r of n
    takes utterances r, r + n, r + 2n, ... of every batch, padded to the length of the whole batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        speakers: dict[str, int],
        frames_per_batch: int,
        multiple_of: int,
        seed: int,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        if not examples:
            raise TtsMetaError(
                "no utterance is left to train on; see excluded.jsonl for the reasons, or give a larger corpus"
            )
        self.examples, self.speakers = examples, speakers
        self.frames_per_batch, self.multiple_of, self.seed, self.threads = frames_per_batch, multiple_of, seed, threads
        self._frames, self._symbols = _sizes(examples)
        self._rank_and_world = rank_and_world()
        # Without this a new thread would pin memory for the first GPU.
        self._gpu = torch.cuda.current_device() if device.startswith("cuda") else None

    def batches(self, epoch: int, position: int) -> Generator[tuple[int, int, Batch | None], None, None]:
        """Yield (epoch, position of the next batch, batch) endlessly, from batch `position` of `epoch` on.

        The batch is None if it has fewer utterances than there are processes and this one has none of them.
        """
        return prefetch(self._batch_order(epoch, position), self._batch, self.threads, max_pending=2 * self.threads)

    def _batch_order(self, epoch: int, position: int) -> Iterator[tuple[int, int, list[int]]]:
        while True:
            order = bucket_batches(self._frames, self.frames_per_batch, self.seed, epoch)
            for number in range(position, len(order)):
                yield epoch, number + 1, order[number]
            epoch, position = epoch + 1, 0

    def _batch(self, item: tuple[int, int, list[int]]) -> tuple[int, int, Batch | None]:
        epoch, next_position, numbers = item
        rank, world = self._rank_and_world
        part = [self.examples[number] for number in numbers[rank::world]]
        if not part:
            return epoch, next_position, None
        longest = max(self._frames[number] for number in numbers)
        batch = dataclasses.replace(
            collate(part, self.speakers, self.multiple_of, min_frames=longest),
            all_frames=torch.tensor(sum(self._frames[number] for number in numbers)),
            all_symbols=torch.tensor(sum(self._symbols[number] for number in numbers)),
        )
        if self._gpu is None:
            return epoch, next_position, batch
        with torch.cuda.device(self._gpu):
            return epoch, next_position, batch.pin_memory()


def _sizes(examples: Sequence[Example]) -> tuple[list[int], list[int]]:
    """Frames and symbols of each example; `Segments` know them without reading the examples."""
    if isinstance(examples, Segments):
        return examples.frames.tolist(), examples.symbols.tolist()
    return [len(example.mel) for example in examples], [len(example.tokens) for example in examples]


def training_stream(
    config: TrainingConfig, base: Base, optimiser: OptimiserConfig, segments: Segments, multiple_of: int = 1
) -> BatchStream:
    """Return the batches of one stage of a run; the frames of a batch are padded to a `multiple_of`."""
    speakers = {name: number for number, name in enumerate(base.speakers)}
    frames = optimiser.frames_per_batch
    return BatchStream(segments, speakers, frames, multiple_of, config.seed, config.workers, config.device)
