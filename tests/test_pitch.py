"""Fundamental frequency by librosa's pYIN: synthetic voices, noise and silence."""

from __future__ import annotations

import numpy as np
import pytest

from tts_meta.audio import fundamental_frequency
from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelConfig

CONFIG = MelConfig()
TIME = np.arange(CONFIG.sample_rate // 2) / CONFIG.sample_rate


def harmonics(frequency: float) -> Waveform:
    """Return a tone with ten harmonics, similar to a voice."""
    waves = [0.2 / k * np.sin(2 * np.pi * k * frequency * TIME) for k in range(1, 11)]
    return np.sum(waves, axis=0).astype(np.float32)


@pytest.mark.parametrize("frequency", [90.0, 130.0, 220.0, 400.0])
def test_the_fundamental_frequency_of_a_steady_voice_is_exact(frequency: float) -> None:
    pitch = fundamental_frequency(harmonics(frequency), CONFIG)[5:-5]
    assert (pitch > 0).mean() > 0.95
    np.testing.assert_allclose(pitch[pitch > 0], frequency, rtol=0.01)


def test_there_is_one_value_per_mel_frame() -> None:
    for samples in (11_025, 11_008, 11_007):
        pitch = fundamental_frequency(harmonics(150.0)[:samples], CONFIG)
        assert pitch.shape == (samples // CONFIG.hop,) and pitch.dtype == np.float32


def test_noise_and_silence_are_unvoiced() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(len(TIME))).astype(np.float32)
    assert (fundamental_frequency(noise, CONFIG) > 0).mean() < 0.1
    assert (fundamental_frequency(np.zeros(len(TIME), np.float32), CONFIG) == 0).all()
