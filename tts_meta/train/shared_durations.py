"""Durations of the utterances of a run: each process aligns its share, and the results are gathered through files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from tts_meta.files import atomic_file
from tts_meta.models.alignment_cache import aligner_hash
from tts_meta.models.pretrained import Base
from tts_meta.train.datasets import align_example
from tts_meta.train.distributed import all_agree, is_first
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.shared_work import SharedWork, job_keys

Numbers = list[int]


def shared_durations(
    path: Path,
    store: FeatureStore,
    numbers: Numbers,
    method: str,
    durations_of: Callable[[int], Tensor | str],
    console: Console,
    excluded: Path | None = None,
) -> Durations:
    """Return the durations in `path`, which all processes compute once per run.

    numbers: the utterances to align. method: names all that their durations depend on, except the features.
    durations_of: returns the durations `(N,)` of an utterance, or the reason why it has none. excluded: a file that
    gets the id and the reason of each utterance without durations.
    """
    if not all_agree(path.exists()):
        work = SharedWork(path.with_suffix(".parts"), job_keys(f"{method} {store.digest}", numbers))
        work.run(lambda job: _to_bytes(durations_of(numbers[job])), "alignment", console)
        if is_first():
            rejected: list[dict[str, str]] = []
            Durations.of(store, _gather(work, store, numbers, rejected)).save(path)
            if excluded is not None:
                with atomic_file(excluded) as temporary:
                    temporary.write_text("".join(json.dumps(line) + "\n" for line in rejected), encoding="utf-8")
        work.remove()
    return Durations.load(path, store)


def aligned_durations(output: Path, store: FeatureStore, base: Base, console: Console) -> Durations:
    """Return the durations of the utterances that match their transcripts; `excluded.jsonl` lists the others."""

    def durations_of(number: int) -> Tensor | str:
        aligned = align_example(store[number], base)
        return aligned if isinstance(aligned, str) else aligned.durations

    path, numbers = output / "durations.safetensors", list(range(len(store)))
    method = f"alignment {aligner_hash(base)}"
    return shared_durations(path, store, numbers, method, durations_of, console, output / "excluded.jsonl")


def _gather(
    work: SharedWork, store: FeatureStore, numbers: Numbers, rejected: list[dict[str, str]]
) -> Iterator[tuple[int, Tensor]]:
    for number, content in zip(numbers, work.results(), strict=True):
        if content[0]:
            rejected.append({"id": store.ids[number], "reason": content[1:].decode()})
        else:
            yield number, torch.from_numpy(np.frombuffer(content, "<i4", offset=1).astype(np.int64))


def _to_bytes(durations: Tensor | str) -> bytes:
    if isinstance(durations, str):
        return b"\1" + durations.encode()
    return b"\0" + durations.numpy().astype("<i4").tobytes()
