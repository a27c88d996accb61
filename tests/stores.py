"""Feature stores for tests: a folder of utterances, and the array store of their log-mels next to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tts_meta.array_store import ArrayStore
from tts_meta.corpus import Example
from tts_meta.train.feature_store import FeatureStore, StoredUtterance, write_table


def mel_store(folder: Path, name: str | None = None) -> ArrayStore:
    """The array store of the log-mels of a feature store."""
    parent, default = folder.parent, f"{folder.name}_mels"
    return ArrayStore(parent if name is None else folder, np.float16, 80, {"features": "test"}, name or default)


def write_store(folder: Path, examples: Iterable[Example]) -> FeatureStore:
    """Write examples, with one in memory at a time, and open the store."""
    mels = mel_store(folder)

    def rows() -> Iterator[StoredUtterance]:
        for example in examples:
            key = hashlib.sha256(example.id.encode()).digest()
            mels.put(key, example.mel.half().numpy())
            tokens = example.tokens.numpy().astype(np.int16)
            yield StoredUtterance(example.id, example.speaker, key, len(example.mel), tokens)

    write_table(folder, rows(), 80)
    mels.refresh()
    return FeatureStore(folder, mels)
