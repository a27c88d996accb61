"""Inputs of figures and logs: tensors of any kind as arrays, and the default mel settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from tts_meta.audio.mel import MelConfig


def to_array(values: Sequence[float] | NDArray | Tensor) -> NDArray:
    """Return a sequence, an array or a tensor (any device, any precision, with or without gradient) as an array."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, Sequence):
        return np.asarray(values)
    tensor = values.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()  # numpy has no bfloat16


def default_mel_config() -> MelConfig:
    """Return the default mel settings; the import is here because `tts_meta.audio` loads torch."""
    from tts_meta.audio.mel import MelConfig

    return MelConfig()
