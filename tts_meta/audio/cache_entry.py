"""Reads log-mels that older versions of this project cached, in a safetensors file for each recording."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor


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


def _digest(key: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for _, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
