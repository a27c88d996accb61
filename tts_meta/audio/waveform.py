"""What every metric asks of a waveform: one channel, finite, at the rate its model was trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tts_meta.errors import TtsMetaError

Samples = npt.NDArray[np.float32]

SPEECH_RATE = 16_000
"""The rate in Hz at which all the judges here listen."""


def as_samples(waveform: object) -> Samples:
    """Return a NumPy array or a tensor as float32 samples (S,).

    Raises TtsMetaError where it is empty, not one channel, or holds NaN or infinity.
    """
    if hasattr(waveform, "detach"):
        waveform = waveform.detach().cpu()  # pyright: ignore[reportAttributeAccessIssue]
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise TtsMetaError(f"the waveform to score has shape {samples.shape}; give one channel, shape (samples,)")
    if samples.size == 0:
        raise TtsMetaError("the waveform to score is empty; check what produced it")
    if not np.isfinite(samples).all():
        raise TtsMetaError("the waveform to score holds NaN or infinite samples; check what produced it")
    return samples


def at_rate(waveform: object, rate: int, wanted: int = SPEECH_RATE) -> Samples:
    """Return the samples (S,) resampled from `rate` to `wanted` Hz (soxr, high quality)."""
    samples = as_samples(waveform)
    if rate == wanted:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, wanted, quality="HQ"), dtype=np.float32)
