"""`load_features`: the features of a run's utterances, which all processes compute in equal shares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.files import restore_folder
from tts_meta.models.pretrained import Base
from tts_meta.train.distributed import all_agree, barrier, is_first
from tts_meta.train.feature_store import FeatureStore, StoredUtterance, write_table
from tts_meta.train.shared_work import SharedWork, job_keys, share_out

_KEY_BYTES = 32


def load_features(
    output: Path, manifest: Manifest, base: Base, cache: FeatureCache, workers: int, console: Console
) -> FeatureStore:
    """Return the features of all utterances. The log-mels are in the cache, and the symbols in the run's folder.

    A second call computes only what is missing. workers: threads of each process. Raises TtsMetaError if the folder
    belongs to other utterances, or a log-mel is missing and its recording is missing or was changed.
    """
    folder = output / "features"
    if is_first():
        restore_folder(folder)
    barrier()
    if not all_agree(folder.exists()):
        _compute(folder, manifest, base, cache, workers, console)
    cache.refresh()
    store = FeatureStore(folder, cache.store)
    if store.ids != [utterance.id for utterance in manifest]:
        raise TtsMetaError(f"{output} holds a run on other utterances; choose another output folder")
    store.check(len(base.symbols), base.config.audio.mel.n_mels)
    _compute_missing(store, manifest, cache, workers, console)
    return store


def _compute(folder: Path, manifest: Manifest, base: Base, cache: FeatureCache, workers: int, console: Console) -> None:
    """Fill the cache, and write the folder when all utterances are done."""
    utterances = manifest.utterances
    names = [json.dumps([u.id, u.speaker, u.text, u.phonemes, str(u.source)]) for u in utterances]
    work = SharedWork(folder.with_suffix(".parts"), job_keys(f"features {list(base.symbols.symbols)}", names))

    def compute(number: int) -> bytes:
        utterance = utterances[number]
        tokens = base.encode(utterance.text, utterance.phonemes)  # first, because it finds faults of the text
        key, mel = cache.key_and_mel(utterance.source)
        return key + len(mel).to_bytes(8, "little") + tokens.numpy().astype("<i2").tobytes()

    work.run(compute, "features", console, workers)
    if is_first():

        def rows() -> Iterator[StoredUtterance]:
            for utterance, content in zip(utterances, work.results(), strict=True):
                key, frames = content[:_KEY_BYTES], int.from_bytes(content[_KEY_BYTES : _KEY_BYTES + 8], "little")
                tokens = np.frombuffer(content, "<i2", offset=_KEY_BYTES + 8).astype(np.int16)
                yield StoredUtterance(utterance.id, utterance.speaker, key, frames, tokens)

        write_table(folder, rows(), base.config.audio.mel.n_mels)
    work.remove()


def _compute_missing(
    store: FeatureStore, manifest: Manifest, cache: FeatureCache, workers: int, console: Console
) -> None:
    """Compute the log-mels that the cache has lost, or never had."""
    missing = store.missing(*cache.stores)
    if not len(missing):
        return
    console.print(f"features of {len(missing)} utterances are missing or damaged in {cache.folder}: computed again")

    def compute(number: int) -> None:
        source = manifest.utterances[number].source
        key, mel = cache.key_and_mel(source)
        if key != store.key(number) or len(mel) != store.frames[number]:
            raise TtsMetaError(f"{source}: changed since the run started; restore it, or choose another output folder")

    share_out(missing, compute, "features", console, workers)
    cache.refresh()
