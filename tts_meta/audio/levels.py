"""Where the speech of a recording is, and how loud it is."""

from __future__ import annotations

import numpy as np

from tts_meta.audio.io import Waveform
from tts_meta.config import AudioConfig
from tts_meta.errors import TtsMetaError

_SILENCE_DB = -60.0
_ACTIVE_DB = 30.0
_FRAME, _STEP = 1024, 256


def prepare_waveform(samples: Waveform, config: AudioConfig, name: str = "recording") -> Waveform:
    """Trim silence at both ends and bring the active part to one loudness: `(S,)` to `(S',)`, float32.

    A constant offset is taken out. Raises TtsMetaError naming the recording where all of it is silent.
    """
    samples = samples - samples.mean()
    levels = levels_db(samples)
    if levels.max() < _SILENCE_DB:
        raise TtsMetaError(f"{name}: silent throughout; check the microphone and record it again")
    loud = np.flatnonzero(levels > levels.max() - config.trim_db)
    pad = round(config.trim_pad * config.mel.sample_rate)
    start = max(0, loud[0] * _STEP - pad)
    end = min(len(samples), loud[-1] * _STEP + _FRAME + pad)
    active = levels[levels > levels.max() - _ACTIVE_DB]
    loudness = 10 * np.log10(np.mean(10 ** (active / 10)))
    gain = 10 ** ((config.loudness - loudness) / 20)
    trimmed = samples[start:end] * gain
    return (trimmed / max(1.0, float(np.abs(trimmed).max()))).astype(np.float32)


def levels_db(samples: Waveform) -> Waveform:
    """Root mean square of overlapping frames, dB of full scale, `(frames,)`."""
    if len(samples) < _FRAME:
        samples = np.pad(samples, (0, _FRAME - len(samples)))
    squares = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, len(samples) - _FRAME + 1, _STEP)
    power = (squares[starts + _FRAME] - squares[starts]) / _FRAME
    return (10 * np.log10(np.maximum(power, 1e-12))).astype(np.float32)
