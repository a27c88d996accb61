"""Log-mel spectrograms: comparison with librosa, shapes and silence."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from tts_meta.audio import MelSpec
from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelConfig

CONFIG = MelConfig()
TIME = np.arange(2 * CONFIG.sample_rate) / CONFIG.sample_rate


def noise(seed: int = 0) -> Waveform:
    return (0.1 * np.random.default_rng(seed).standard_normal(len(TIME))).astype(np.float32)


def chirp() -> Waveform:
    """Return a chirp from 100 Hz to 10 kHz in two seconds."""
    return (0.5 * np.sin(2 * np.pi * (100 * TIME + 9900 / 4 * TIME**2))).astype(np.float32)


SIGNALS = {"noise": noise(), "chirp": chirp(), "quiet chirp in noise": 0.02 * chirp() + 0.2 * noise(1)}


def mel_of(samples: Waveform, config: MelConfig = CONFIG) -> np.ndarray:
    return MelSpec(config)(torch.from_numpy(samples)[None])[0].numpy()


def frames_of(samples: Waveform, config: MelConfig) -> np.ndarray:
    """Return the Hann windows of HiFi-GAN, padded by reflection with (n_fft - hop) / 2 samples, `(n_fft, T)`."""
    pad = (config.n_fft - config.hop) // 2
    frames = librosa.util.frame(np.pad(samples, pad, mode="reflect"), frame_length=config.n_fft, hop_length=config.hop)
    return frames * librosa.filters.get_window("hann", config.n_fft)[:, None]


def librosa_filters(config: MelConfig) -> np.ndarray:
    return librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.f_min, fmax=config.f_max
    )


@pytest.mark.parametrize("name", SIGNALS)
def test_the_log_mel_equals_the_filterbank_of_librosa_on_the_same_frames(name: str) -> None:
    pad = (CONFIG.n_fft - CONFIG.hop) // 2
    padded = torch.from_numpy(np.pad(SIGNALS[name], pad, mode="reflect"))
    window = torch.hann_window(CONFIG.n_fft)
    frames = torch.stft(padded, CONFIG.n_fft, CONFIG.hop, window=window, center=False, return_complex=True)
    magnitude = np.sqrt(np.abs(frames.numpy()) ** 2 + 1e-9)
    expected = np.log(np.maximum(librosa_filters(CONFIG) @ magnitude, CONFIG.floor)).T
    np.testing.assert_allclose(mel_of(SIGNALS[name]), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["noise", "quiet chirp in noise"])
def test_the_log_mel_equals_that_of_librosa_in_double_precision_for_full_band_signals(name: str) -> None:
    magnitude = np.abs(np.fft.rfft(frames_of(SIGNALS[name].astype(np.float64), CONFIG), axis=0))
    expected = np.log(np.maximum(librosa_filters(CONFIG) @ magnitude, CONFIG.floor)).T
    np.testing.assert_allclose(mel_of(SIGNALS[name]), expected, atol=1e-4)


def test_another_configuration_equals_librosa_too() -> None:
    config = MelConfig(sample_rate=16000, n_fft=512, hop=160, n_mels=40, f_min=60, f_max=7600)
    magnitude = np.abs(np.fft.rfft(frames_of(noise(), config), axis=0))
    expected = np.log(np.maximum(librosa_filters(config) @ magnitude, config.floor)).T
    np.testing.assert_allclose(mel_of(noise(), config), expected, atol=1e-4)


@pytest.mark.parametrize("samples", [1024, 25600, 25601, 25855, 25856])
def test_there_is_one_frame_per_complete_hop(samples: int) -> None:
    assert mel_of(noise()[:samples]).shape == (samples // CONFIG.hop, CONFIG.n_mels)


def test_silence_gives_the_floor_value() -> None:
    assert (mel_of(np.zeros(8000, np.float32)) == np.log(np.float32(CONFIG.floor))).all()


def test_waveforms_of_a_batch_do_not_influence_each_other() -> None:
    both = torch.from_numpy(np.stack([noise(), chirp()]))
    torch.testing.assert_close(MelSpec(CONFIG)(both)[1], torch.from_numpy(mel_of(chirp())), atol=1e-5, rtol=0)


def test_a_tone_is_loudest_in_the_band_at_its_frequency() -> None:
    centres = librosa.mel_frequencies(CONFIG.n_mels + 2, fmin=CONFIG.f_min, fmax=CONFIG.f_max)[1:-1]
    for frequency in (200.0, 1000.0, 5000.0):
        tone = (0.3 * np.sin(2 * np.pi * frequency * TIME)).astype(np.float32)
        loudest = centres[mel_of(tone)[10:-10].mean(0).argmax()]
        assert abs(loudest - frequency) < 0.05 * frequency + 20
