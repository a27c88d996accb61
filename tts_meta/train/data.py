"""From a manifest to examples: symbols, features from the cache, durations from the aligner."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Batch, Example, Manifest, bucket_batches, collate
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file
from tts_meta.models.base import Base

_TOLERANCE = 1.5
"""Stricter than for new speakers: a doubtful sentence is no loss where there are thousands."""


def load_examples(manifest: Manifest, base: Base, cache: FeatureCache, workers: int = 2) -> Iterator[Example]:
    """Yield one example an utterance, without durations yet; features come from the cache where it has them."""

    def load(number: int) -> Example:
        utterance = manifest.utterances[number]
        tokens = base.encode(utterance.text, utterance.phonemes)
        return Example(utterance.id, utterance.speaker, tokens, torch.zeros_like(tokens), cache.mel(utterance.audio))

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(load, range(len(manifest)))


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
        alignment = base.aligner.align(example.mel, example.tokens, base.silent, example.id)
    except TtsMetaError as error:
        return str(error)
    if not base.aligner.matches(alignment.score, _TOLERANCE):
        return f"does not match its transcript (alignment score {alignment.score:.2f})"
    return dataclasses.replace(example, durations=alignment.durations)


class BatchStream:
    """Endless batches in a seeded order, from any place: what a resumed run continues."""

    def __init__(
        self, examples: Sequence[Example], speakers: dict[str, int], frames_per_batch: int, multiple_of: int, seed: int
    ) -> None:
        if not examples:
            raise TtsMetaError(
                "no utterance is left to train on; see what was left out, and why, or give a larger corpus"
            )
        self.examples, self.speakers = examples, speakers
        self.frames_per_batch, self.multiple_of, self.seed = frames_per_batch, multiple_of, seed
        self._lengths = [len(example.mel) for example in examples]

    def batches(self, epoch: int, position: int) -> Iterator[tuple[int, int, Batch]]:
        """Yield (epoch, position of the next batch, batch) for ever, from batch `position` of `epoch` on."""
        while True:
            order = bucket_batches(self._lengths, self.frames_per_batch, self.seed, epoch)
            for number in range(position, len(order)):
                chosen = [self.examples[index] for index in order[number]]
                yield epoch, number + 1, collate(chosen, self.speakers, self.multiple_of)
            epoch, position = epoch + 1, 0
