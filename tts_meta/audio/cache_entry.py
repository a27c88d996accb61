"""One entry of a cache on disk: named tensors and their hash, which is checked on every read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tts_meta.files import atomic_file, write_tensors


def read_entry(path: Path, key: str, dtypes: Mapping[str, torch.dtype]) -> dict[str, Tensor] | None:
    """Return the tensors that were written for `key`, or None if there is no valid entry.

    dtypes: names and types of the tensors. An entry is invalid if it is damaged, belongs to another key, has other
    names or types, or holds NaN or infinity.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as entry:
            digest = (entry.metadata() or {}).get("sha256")
            # The copies stay as they were checked: the library maps the file, which another program may change.
            tensors = {name: entry.get_tensor(name).clone() for name in entry.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError):
        return None
    if {name: tensor.dtype for name, tensor in tensors.items()} != dict(dtypes) or digest != _digest(key, tensors):
        return None
    return tensors if all(tensor.isfinite().all() for tensor in tensors.values()) else None


def write_entry(path: Path, key: str, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors by name atomically. Raises TtsMetaError if they cannot be written."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        write_tensors(temporary, contiguous, {"sha256": _digest(key, contiguous)})


def update_digest(digest: hashlib._Hash, label: str, tensor: Tensor) -> None:
    """Add a label and the shape and values of a tensor to a hash."""
    values = tensor.contiguous().numpy()
    digest.update(f"{label} {tuple(values.shape)} ".encode())
    digest.update(values.tobytes())


def _digest(key: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for _, tensor in sorted(tensors.items()):
        update_digest(digest, key, tensor)
    return digest.hexdigest()
