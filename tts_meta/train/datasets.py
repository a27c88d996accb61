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
from tts_meta.corpus.bucketing import Ints
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file
from tts_meta.models.alignment_cache import AlignmentCache
from tts_meta.models.pretrained import Base
from tts_meta.train.distributed import rank_and_world
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.optimiser import BatchSize, OptimiserConfig
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
    """Endless micro-batches in a seeded order, which can start at any position, so that a run can resume.

    `threads` threads prepare micro-batches ahead, in pinned memory for the device `cuda`. A step has P parts: one for
    each process of `torchrun` and each of its `size.accumulate` micro-batches. If `size` is that of the batch of a
    step, part p of a batch is its utterances p, p + P, p + 2 P, ..., padded to the length of the whole batch, and a
    position counts batches. If `size` is that of a part, the next P batches are the parts, and a position counts parts.
    An epoch has each utterance once. All processes take the same steps; at the end of an epoch some have no data.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        speakers: dict[str, int],
        size: BatchSize,
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
        self.size, self.multiple_of, self.seed, self.threads = size, multiple_of, seed, threads
        self.accumulate = size.accumulate
        self._frames, self._symbols = _sizes(examples)
        self._rank_and_world = rank_and_world()
        # Without this a new thread would pin memory for the first GPU.
        self._gpu = torch.cuda.current_device() if device.startswith("cuda") else None

    def batches(
        self, epoch: int, position: int, group: int = 1
    ) -> Generator[tuple[int, int, Batch | None], None, None]:
        """Yield (epoch, position of the next step, micro-batch) endlessly, from the step at `position` of `epoch` on.

        A micro-batch is None if no data of its step is left for it. group: number of micro-batches of similar length
        that are neighbours, if `size` is that of a micro-batch. A run that resumes gives the number of its start.
        """
        parts = self._parts(epoch, position, group)
        return prefetch(parts, self._batch, self.threads, max_pending=2 * self.threads)

    def _parts(self, epoch: int, position: int, group: int) -> Iterator[_Part]:
        """The parts of this process in the steps from a position on, `accumulate` in each step."""
        rank, world = self._rank_and_world
        while True:
            per_device, count = self.size.per_device, world * self.accumulate
            order = bucket_batches(self._frames, self.size.frames, self.seed, epoch, group if per_device else 1)
            while position < len(order):
                end = position + (count if per_device else 1)
                step = [number for batch in order[position:end] for number in batch]
                parts = order[position:end] if per_device else [step[part::count] for part in range(count)]
                position = min(end, len(order))
                frames, symbols = int(self._frames[step].sum()), int(self._symbols[step].sum())
                padded = 0 if per_device else int(self._frames[step].max())
                for part in range(rank, count, world):
                    numbers = parts[part] if part < len(parts) else []
                    yield _Part(epoch, position, numbers, frames, symbols, padded)
            epoch, position = epoch + 1, 0

    def _batch(self, part: _Part) -> tuple[int, int, Batch | None]:
        if not part.numbers:
            return part.epoch, part.next_position, None
        examples = [self.examples[number] for number in part.numbers]
        batch = dataclasses.replace(
            collate(examples, self.speakers, self.multiple_of, min_frames=part.padded_frames),
            all_frames=torch.tensor(part.all_frames),
            all_symbols=torch.tensor(part.all_symbols),
        )
        if self._gpu is None:
            return part.epoch, part.next_position, batch
        with torch.cuda.device(self._gpu):
            return part.epoch, part.next_position, batch.pin_memory()


@dataclasses.dataclass(frozen=True)
class _Part:
    """The utterances of a micro-batch, the least number of frames to pad them to, and the size of the whole step."""

    epoch: int
    next_position: int
    numbers: list[int]
    all_frames: int
    all_symbols: int
    padded_frames: int


def _sizes(examples: Sequence[Example]) -> tuple[Ints, Ints]:
    """Frames and symbols of each example; `Segments` know them without reading the examples."""
    if isinstance(examples, Segments):
        return examples.frames, examples.symbols
    sizes = [(len(example.mel), len(example.tokens)) for example in examples]
    frames, symbols = np.array(sizes, np.int32).T
    return frames, symbols


def training_stream(
    config: TrainingConfig, base: Base, optimiser: OptimiserConfig, segments: Segments, multiple_of: int = 1
) -> BatchStream:
    """Return the batches of one stage of a run; the frames of a batch are padded to a `multiple_of`."""
    speakers = {name: number for number, name in enumerate(base.speakers)}
    size = optimiser.batch_size
    return BatchStream(segments, speakers, size, multiple_of, config.seed, config.workers, config.device)
