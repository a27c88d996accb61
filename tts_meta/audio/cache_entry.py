"""One entry of the feature cache: a log-mel and its hash, which are checked on every read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tts_meta.files import atomic_file, write_tensors


def read_entry(path: Path, key: str, bands: int) -> Tensor | None:
    """Return the log-mel `(T, M)` float32 that was written for `key`, or None if there is no valid one.

    An entry is invalid if it is damaged, belongs to another key, has another shape or type, or holds NaN or infinity.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as entry:
            digest = (entry.metadata() or {}).get("sha256")
            mel = entry.get_tensor("mel")
    except (SafetensorError, OSError, ValueError, RuntimeError):
        return None
    if mel.dtype != torch.float32 or mel.dim() != 2 or mel.shape[1] != bands or not len(mel):
        return None
    return mel if digest == _digest(key, mel) and torch.isfinite(mel).all() else None


def write_entry(path: Path, key: str, mel: Tensor) -> None:
    """Write a log-mel `(T, M)` atomically. Raises TtsMetaError if it cannot be written."""
    mel = mel.contiguous()
    with atomic_file(path) as temporary:
        write_tensors(temporary, {"mel": mel}, {"sha256": _digest(key, mel)})


def _digest(key: str, mel: Tensor) -> str:
    values = mel.numpy()
    return hashlib.sha256(f"{key} {tuple(mel.shape)} ".encode() + values.tobytes()).hexdigest()
