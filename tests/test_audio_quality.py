"""Measures of the quality of a recording agree with signals whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
from corpus_speech import RATE, low_passed, noise, pulses

from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelConfig
from tts_meta.audio.pitch import fundamental_frequency_praat
from tts_meta.audio.quality import MAX_SNR_DB, SignalQuality, bandwidth, measure_signal
from tts_meta.audio.speech import LoadedSpeech


def bursts(level: float) -> Waveform:
    """A tone of 1 kHz with this root mean square for 0.8 s of each second, for four seconds."""
    time = np.arange(4 * RATE) / RATE
    return (level * np.sqrt(2) * np.sin(2 * np.pi * 1000 * time) * (time % 1 < 0.8)).astype(np.float32)


def measured(samples: Waveform) -> SignalQuality:
    return measure_signal(LoadedSpeech(samples, samples, RATE, len(samples) / RATE), RATE)


@pytest.mark.parametrize("snr", [10, 20, 40])
def test_the_snr_of_a_tone_in_noise_is_the_ratio_of_their_powers(snr: int) -> None:
    quality = measured(bursts(0.1) + noise(4.0, 0.1 * 10 ** (-snr / 20)))
    # The tone is silent for a fifth of the time, and the tenth percentile of the noise is a little below its mean.
    assert quality.snr == pytest.approx(snr, abs=1.2)


def test_digital_silence_gives_a_high_snr_and_the_loudness_of_the_tone() -> None:
    quality = measured(bursts(0.1))
    assert 60 < quality.snr <= MAX_SNR_DB
    assert quality.loudness == pytest.approx(-20.0, abs=0.5)
    assert quality.longest_pause == 0.0
    assert measured(noise(4.0, 0.1)).hum_db == -np.inf


def test_pauses_are_measured_inside_the_speech_only() -> None:
    pause = np.zeros(2 * RATE, np.float32)
    quality = measured(np.concatenate([pause, bursts(0.1)[:8000], pause, bursts(0.1)[:8000], pause]))
    assert quality.longest_pause == pytest.approx(2.0, abs=0.12)
    assert quality.pause_seconds == quality.longest_pause


@pytest.mark.parametrize("hertz", [1500, 3400, 6000])
def test_the_bandwidth_of_low_passed_noise_is_the_cutoff(hertz: float) -> None:
    assert bandwidth(low_passed(noise(3.0, 0.1), hertz), RATE) == pytest.approx(hertz, abs=60)


def test_the_bandwidth_of_white_noise_is_half_the_sample_rate_and_that_of_silence_is_zero() -> None:
    assert bandwidth(noise(2.0, 0.1), RATE) == RATE / 2
    assert bandwidth(np.zeros(RATE, np.float32), RATE) == 0.0
    assert bandwidth(np.zeros(10, np.float32), RATE) == 0.0


@pytest.mark.parametrize("hertz", [90.0, 150.0, 260.0])
def test_the_f0_of_a_pulse_train_is_its_rate(hertz: float) -> None:
    pytest.importorskip("parselmouth")
    config = MelConfig(sample_rate=RATE)
    frequency = fundamental_frequency_praat(pulses(2.0, hertz), config)
    assert np.median(frequency[frequency > 0]) == pytest.approx(hertz, rel=0.01)
    assert (frequency > 0).mean() > 0.9
