"""From a manifest to examples: symbols, features from the cache, durations from the aligner."""

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
from tts_meta.models.pretrained import Base
from tts_meta.train.distributed import rank_and_world
from tts_meta.train.feature_store import Durations, Store
from tts_meta.train.prefetch import ahead
from tts_meta.train.segments import Pieces

_TOLERANCE = 1.5
"""Stricter than for new speakers: a doubtful sentence is no loss where there are thousands."""


def load_examples(manifest: Manifest, base: Base, cache: FeatureCache, workers: int = 2) -> Iterator[Example]:
    """Yield one example an utterance, without durations yet; features come from the cache where it has them."""

    def load(number: int) -> Example:
        utterance = manifest.utterances[number]
        tokens = base.encode(utterance.text, utterance.phonemes)
        return Example(utterance.id, utterance.speaker, tokens, torch.zeros_like(tokens), cache.mel(utterance.audio))

    return ahead(range(len(manifest)), load, workers, waiting=2 * workers)


def align_examples(examples: Iterable[Example], base: Base, left_out: Path) -> Iterator[Example]:
    """Yield the examples with durations; those that do not match their transcript go to the list `left_out` (JSONL)."""
    rejected = []
    for example in examples:
        aligned = align_example(example, base)
        if isinstance(aligned, str):
            rejected.append({"id": example.id, "reason": aligned})
        else:
            yield aligned
    with atomic_file(left_out) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in rejected), encoding="utf-8")


def align_example(example: Example, base: Base) -> Example | str:
    """The example with durations, or the reason why its recording does not seem to say its transcript."""
    try:
        tokens, alignment = base.align(example.mel, example.tokens, example.id)
    except TtsMetaError as error:
        return str(error)
    if not base.aligner.matches(alignment.score, _TOLERANCE):
        return f"does not match its transcript (alignment score {alignment.score:.2f})"
    return dataclasses.replace(example, tokens=tokens, durations=alignment.durations)


def cut_at_said_pauses(
    store: Store, durations: Durations, base: Base, min_segment_seconds: float, pause_seconds: float
) -> Pieces:
    """Segments of aligned utterances, cut at pauses, at least `min_segment_seconds` long; 0 keeps utterances whole.

    Their symbols are punctuated as they were said.
    """
    frame = base.config.audio.mel.frame_seconds
    if min_segment_seconds:
        shortest, pause = round(min_segment_seconds / frame), max(1, round(pause_seconds / frame))
        pieces = Pieces.cut(store, durations, base.silent, shortest, pause)
    else:
        pieces = Pieces.whole(store, durations, np.flatnonzero(durations.known).tolist())
    said = base.mark_pauses(torch.from_numpy(store.tokens.astype(np.int16)), torch.from_numpy(durations.frames))
    return pieces.with_tokens(said.numpy())


class BatchStream:
    """Endless batches in a seeded order, from any place: what a resumed run continues.

    Batches are put together ahead, in `threads` threads; for the device `cuda` in pinned memory. Where `torchrun`
    started several processes each has its part of every batch, every so manieth utterance, padded as the whole is.
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
                "no utterance is left to train on; see what was left out, and why, or give a larger corpus"
            )
        self.examples, self.speakers = examples, speakers
        self.frames_per_batch, self.multiple_of, self.seed, self.threads = frames_per_batch, multiple_of, seed, threads
        self._frames, self._symbols = _sizes(examples)
        self._place = rank_and_world()
        # A new thread would pin for the first GPU, whichever is this process's.
        self._gpu = torch.cuda.current_device() if device.startswith("cuda") else None

    def batches(self, epoch: int, position: int) -> Generator[tuple[int, int, Batch | None], None, None]:
        """Yield (epoch, position of the next batch, batch) for ever, from batch `position` of `epoch` on.

        The batch is None where it has fewer utterances than there are processes and this one has none of them.
        """
        return ahead(self._chosen(epoch, position), self._batch, self.threads, waiting=2 * self.threads)

    def _chosen(self, epoch: int, position: int) -> Iterator[tuple[int, int, list[int]]]:
        while True:
            order = bucket_batches(self._frames, self.frames_per_batch, self.seed, epoch)
            for number in range(position, len(order)):
                yield epoch, number + 1, order[number]
            epoch, position = epoch + 1, 0

    def _batch(self, chosen: tuple[int, int, list[int]]) -> tuple[int, int, Batch | None]:
        epoch, after, numbers = chosen
        rank, processes = self._place
        own = [self.examples[number] for number in numbers[rank::processes]]
        if not own:
            return epoch, after, None
        longest = max(self._frames[number] for number in numbers)
        batch = dataclasses.replace(
            collate(own, self.speakers, self.multiple_of, min_frames=longest),
            all_frames=torch.tensor(sum(self._frames[number] for number in numbers)),
            all_symbols=torch.tensor(sum(self._symbols[number] for number in numbers)),
        )
        if self._gpu is None:
            return epoch, after, batch
        with torch.cuda.device(self._gpu):
            return epoch, after, batch.pin_memory()


def _sizes(examples: Sequence[Example]) -> tuple[list[int], list[int]]:
    """Frames and symbols of each example; those of `Pieces` are known without reading them."""
    if isinstance(examples, Pieces):
        return examples.frames.tolist(), examples.symbols.tolist()
    return [len(example.mel) for example in examples], [len(example.tokens) for example in examples]
