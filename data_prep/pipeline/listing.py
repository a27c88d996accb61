"""`list_recordings`: the recordings of a corpus, or of one shard of it, with the work that each one needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_prep.pipeline.audio_job import AudioJob
from data_prep.pipeline.shard import Shard
from data_prep.pipeline.spool import Spool
from data_prep.recording import Recording, fault_before_reading
from tts_meta.corpus.audio_part import part_of

Expansion = Callable[[Spool[Recording]], Iterator[Recording]]


@dataclass(frozen=True, slots=True)
class Listed:
    """A recording with the job that reads it, or with the fault for which it need not be read."""

    recording: Recording
    job: AudioJob | None
    fault: str | None


@dataclass(frozen=True)
class Listing:
    """The recordings of a shard, in the order of the reader.

    total: number of recordings of the corpus. digest: hash of all of them, by which shards recognise that the corpus
    has changed. splits: the splits of the corpus.
    """

    recordings: Spool[Listed]
    total: int
    digest: str
    splits: frozenset[str]


@contextmanager
def list_recordings(
    recordings: Iterable[Recording],
    shard: Shard,
    near: Path,
    copies: Path,
    features: Path | None,
    expand: Expansion | None = None,
) -> Iterator[Listing]:
    """Read the list of a corpus.

    near: an output file, on whose disk the list is kept. copies: folder of speed-perturbed copies of an earlier run,
    whose recordings are left out. features: folder of the feature cache to fill, or None. expand: replaces recordings
    of the shard by other ones, such as the slices of long recordings with their texts.
    """
    digest, splits = hashlib.sha256(), set[str]()
    everything, chosen, own = Spool[Recording](near), Spool[Recording](near), Spool[Listed](near)
    try:
        for recording in recordings:
            if recording.audio is not None and recording.audio.is_relative_to(copies):
                continue
            everything.append(recording)
            digest.update(repr(recording).encode("utf-8", "surrogateescape"))
            if recording.split is not None:
                splits.add(recording.split)
        numbers = shard.range_of(len(everything))
        for number, recording in enumerate(everything):
            if number in numbers and expand is None:
                own.append(list_recording(recording, features))
            elif number in numbers:
                chosen.append(recording)
        total = len(everything)
        everything.close()
        for recording in expand(chosen) if expand is not None else ():
            own.append(list_recording(recording, features))
        chosen.close()
        yield Listing(own, total, digest.hexdigest(), frozenset(splits))
    finally:
        everything.close()
        chosen.close()
        own.close()


def list_recording(recording: Recording, features: Path | None = None) -> Listed:
    """Return a recording with its job, or with the fault that is known without reading it."""
    fault, job = fault_before_reading(recording), None
    if fault is None and recording.audio is not None:
        job = AudioJob.create(recording.audio, part_of(recording.audio, recording.start, recording.end), features)
        fault = "missing audio" if job is None else None
    return Listed(recording, job, fault)
