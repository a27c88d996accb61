"""Fundamental frequency (F0) of speech, by librosa's pYIN and by Praat, which is 90 times faster."""

from __future__ import annotations

import numpy as np

from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelConfig
from tts_meta.errors import TtsMetaError


def fundamental_frequency(samples: Waveform, config: MelConfig, low: float = 60.0, high: float = 500.0) -> Waveform:
    """Return F0 in Hz for each mel frame, `(S,)` to `(T,)` with T = S // hop; 0: unvoiced (Mauch and Dixon 2014)."""
    from librosa import pyin

    frequency, voiced, _ = pyin(
        samples, fmin=low, fmax=high, sr=config.sample_rate, frame_length=2 * config.n_fft, hop_length=config.hop
    )
    frames = len(samples) // config.hop
    return np.where(voiced, frequency, 0.0).astype(np.float32)[:frames]


def fundamental_frequency_praat(
    samples: Waveform, config: MelConfig, low: float = 60.0, high: float = 500.0
) -> Waveform:
    """Return F0 in Hz at the middle of each mel frame, `(S,)` to `(T,)`; 0: unvoiced (Boersma 1993).

    Raises TtsMetaError if the package praat-parselmouth is missing.
    """
    try:
        import parselmouth
    except ImportError as error:
        raise TtsMetaError(
            "F0 for training needs praat-parselmouth; install it with: pip install '.[vocoder]'"
        ) from error
    frames, step = len(samples) // config.hop, config.hop / config.sample_rate
    sound = parselmouth.Sound(samples.astype(np.float64), config.sample_rate)
    pitch = sound.to_pitch_ac(time_step=step, pitch_floor=low, pitch_ceiling=high)
    frequency, first_time = pitch.selected_array["frequency"], pitch.t1
    indices = np.round(((np.arange(frames) + 0.5) * step - first_time) / step).astype(int)
    inside = (indices >= 0) & (indices < len(frequency))
    return np.where(inside, frequency[indices.clip(0, len(frequency) - 1)], 0.0).astype(np.float32)
