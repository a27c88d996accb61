"""Input of metrics and speaker encoders: checks of a waveform, and resampling to the rate of the pretrained model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tts_meta.errors import TtsMetaError

Samples = npt.NDArray[np.float32]

SPEECH_RATE = 16_000
"""Sample rate in Hz of all pretrained models that rate speech."""


def as_samples(waveform: object) -> Samples:
    """Return a NumPy array or a tensor as float32 samples `(S,)`.

    Raises TtsMetaError if it is empty, has several channels, or holds NaN or infinity.
    """
    if hasattr(waveform, "detach"):
        waveform = waveform.detach().cpu()  # pyright: ignore[reportAttributeAccessIssue]
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise TtsMetaError(f"the waveform to score has shape {samples.shape}; give one channel, shape (samples,)")
    if samples.size == 0:
        raise TtsMetaError("the waveform to score is empty; check what produced it")
    if not np.isfinite(samples).all():
        raise TtsMetaError("the waveform to score holds samples that are NaN or infinite; check what produced it")
    return samples


def at_rate(waveform: object, rate: int, target_rate: int = SPEECH_RATE) -> Samples:
    """Return the samples `(S',)` of a waveform, resampled from `rate` to `target_rate` Hz (soxr, high quality)."""
    samples = as_samples(waveform)
    if rate == target_rate:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, target_rate, quality="HQ"), dtype=np.float32)
