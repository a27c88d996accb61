"""`AlignmentCache`: alignments of recordings, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_meta.array_store import ArrayStore
from tts_meta.models.aligner import VERSION, Alignment
from tts_meta.models.pretrained import Base


class AlignmentCache:
    """Alignments in a folder, keyed by all that `Aligner.align` depends on; several processes may share the folder.

    Each aligner has a subfolder (`store`), which depends on its weights, the classes of the symbols and the version of
    the method. The key of an alignment depends on the log-mel and the tokens. So an outdated alignment is never read. A
    damaged one is computed again. The weights of the aligner must not change while the cache is in use.
    """

    def __init__(self, folder: str | Path, base: Base) -> None:
        self.folder, self._base = Path(folder), base
        content = {"features": "alignment", "version": VERSION, "aligner": aligner_hash(base)}
        self.store = ArrayStore(self.folder, np.float64, 1, content)

    def align(self, mel: Tensor, tokens: Tensor, name: str = "recording") -> tuple[Tensor, Alignment]:
        """Return what `Base.align` returns, from the cache if possible. Raises TtsMetaError as `Aligner.align`."""
        key = alignment_key(mel, tokens)
        alignment = self._read(key, len(mel), len(tokens))
        if alignment is None:
            alignment = self._base.aligner.align(mel, tokens, self._base.kinds, name)
            self.store.put(key, np.concatenate([[alignment.score], alignment.durations.numpy()]))
        return self._base.mark_pauses(tokens, alignment.durations), alignment

    def _read(self, key: bytes, frames: int, symbols: int) -> Alignment | None:
        """Return a valid alignment, or None if there is none for these numbers of frames and symbols."""
        values = self.store.get(key)
        if values is None or len(values) != symbols + 1:
            return None
        durations = values[1:, 0].astype(np.int64)
        if (durations != values[1:, 0]).any() or (durations < 0).any() or durations.sum() != frames:
            return None
        return Alignment(torch.from_numpy(durations), float(values[0, 0]))


def aligner_hash(base: Base) -> str:
    """Return the SHA-256 of the weights of the aligner and of the classes of the symbols."""
    digest = hashlib.sha256()
    for name, value in sorted(base.aligner.state_dict().items()):
        _update(digest, name, value)
    _update(digest, "silent", base.kinds.silent)
    _update(digest, "vowel", base.kinds.vowel)
    return digest.hexdigest()


def alignment_key(mel: Tensor, tokens: Tensor) -> bytes:
    """Return the key of the alignment of `tokens (N,)` with a log-mel `(T, M)`."""
    digest = hashlib.sha256()
    _update(digest, "mel", mel)
    _update(digest, "tokens", tokens)
    return digest.digest()


def _update(digest: hashlib._Hash, label: str, tensor: Tensor) -> None:
    """Add a label and the shape and values of a tensor to a hash."""
    values = tensor.cpu().contiguous().numpy()
    digest.update(f"{label} {tuple(values.shape)} ".encode())
    digest.update(values.tobytes())
