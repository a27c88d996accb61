"""Fundamental frequency by librosa's probabilistic YIN."""

from __future__ import annotations

import numpy as np

from tts_meta.audio.io import Waveform
from tts_meta.config import MelConfig


def fundamental_frequency(samples: Waveform, config: MelConfig, low: float = 60.0, high: float = 500.0) -> Waveform:
    """F0 in Hz of each mel frame, `(S,)` to `(T,)` with T = S // hop; 0 where unvoiced (Mauch and Dixon 2014)."""
    from librosa import pyin

    frequency, voiced, _ = pyin(
        samples, fmin=low, fmax=high, sr=config.sample_rate, frame_length=2 * config.n_fft, hop_length=config.hop
    )
    frames = len(samples) // config.hop
    return np.where(voiced, frequency, 0.0).astype(np.float32)[:frames]
