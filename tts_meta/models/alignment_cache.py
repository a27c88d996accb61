"""`AlignmentCache`: alignments of recordings, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.audio.cache_entry import read_entry, update_digest, write_entry
from tts_meta.models.aligner import VERSION, Alignment
from tts_meta.models.pretrained import Base


class AlignmentCache:
    """Alignments on disk, keyed by all that `Aligner.align` depends on; several processes may share the folder.

    The key contains the log-mel, the tokens, the weights of the aligner, the classes of the symbols and the version of
    the method. If one of them changes, the key is another, so an outdated entry is never read. A damaged entry is
    computed again. The weights of the aligner must not change while the cache is in use.
    """

    def __init__(self, folder: str | Path, base: Base) -> None:
        self.folder, self._base = Path(folder), base
        digest = hashlib.sha256(f"alignment {VERSION}".encode())
        for name, value in sorted(base.aligner.state_dict().items()):
            update_digest(digest, name, value.cpu())
        update_digest(digest, "silent", base.kinds.silent)
        update_digest(digest, "vowel", base.kinds.vowel)
        self._model = digest.hexdigest()

    def path(self, mel: Tensor, tokens: Tensor) -> Path:
        """Return the path of the alignment of `tokens (N,)` with a log-mel `(T, M)`, whether it exists or not."""
        digest = hashlib.sha256(self._model.encode())
        update_digest(digest, "mel", mel.cpu())
        update_digest(digest, "tokens", tokens.cpu())
        key = digest.hexdigest()
        return self.folder / key[:2] / f"{key}.safetensors"

    def align(self, mel: Tensor, tokens: Tensor, name: str = "recording") -> tuple[Tensor, Alignment]:
        """Return what `Base.align` returns, from the cache if possible. Raises TtsMetaError as `Aligner.align`."""
        entry = self.path(mel, tokens)
        alignment = _read(entry, len(mel), len(tokens))
        if alignment is None:
            alignment = self._base.aligner.align(mel, tokens, self._base.kinds, name)
            score = torch.tensor(alignment.score, dtype=torch.float64)
            write_entry(entry, entry.stem, {"durations": alignment.durations, "score": score})
        return self._base.mark_pauses(tokens, alignment.durations), alignment


def _read(entry: Path, frames: int, symbols: int) -> Alignment | None:
    """Return the alignment of an entry, or None if there is no valid one for these numbers of frames and symbols."""
    tensors = read_entry(entry, entry.stem, {"durations": torch.int64, "score": torch.float64})
    if tensors is None:
        return None
    durations, score = tensors["durations"], tensors["score"]
    if durations.shape != (symbols,) or score.shape != () or int(durations.sum()) != frames or (durations < 0).any():
        return None
    return Alignment(durations, float(score))
