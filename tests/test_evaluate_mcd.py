"""The distances to a real recording agree with closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from tts_meta.evaluate.mcd import (
    align,
    analyse,
    distances,
    mel_cepstra,
    mel_cepstral_distortion,
    pitch_distances,
)


def buzz(pitch: float, seconds: float = 1.0, rate: int = 16_000, formant: float = 800.0) -> np.ndarray:
    """Harmonics of `pitch` under one formant (S,)."""
    time = np.arange(int(seconds * rate)) / rate
    samples = np.zeros_like(time)
    for harmonic in range(1, int(7000 / pitch)):
        height = 1 / (1 + ((harmonic * pitch - formant) / 400) ** 2)
        samples += height * np.sin(2 * np.pi * harmonic * pitch * time)
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


@pytest.mark.parametrize("order", [1, 5, 13])
def test_a_cosine_of_known_amplitude_over_the_bands_has_the_expected_distortion(order):
    bands = np.arange(40)
    flat = np.full((7, 40), -3.0)
    ripple = flat + 0.2 * np.cos(np.pi * order * (bands + 0.5) / 40)
    cepstra = mel_cepstra(ripple)
    assert cepstra[:, order - 1] == pytest.approx(0.2)
    distortion = mel_cepstral_distortion(cepstra, mel_cepstra(flat))
    assert distortion == pytest.approx(10 / np.log(10) * np.sqrt(2 * 0.2**2))
    # The same in words: the root mean square difference of the two spectra in dB.
    assert distortion == pytest.approx(20 / np.log(10) * np.sqrt(np.mean((ripple - flat) ** 2)))


def test_cepstra_above_the_thirteenth_do_not_count():
    fine = 0.2 * np.cos(np.pi * 14 * (np.arange(40) + 0.5) / 40)[None]
    assert mel_cepstral_distortion(mel_cepstra(fine), mel_cepstra(0 * fine)) == pytest.approx(0, abs=1e-12)


def test_a_recording_has_no_distance_to_itself_at_any_loudness():
    recording = buzz(150)
    found = distances(recording * np.float32(0.25), 16_000, recording, 16_000)
    assert (found.mcd, found.f0_rmse, found.voicing_error) == pytest.approx((0, 0, 0), abs=1e-3)


def test_silence_at_the_ends_does_not_count():
    recording = buzz(150)
    padded = np.concatenate([np.zeros(8_000, np.float32), recording, np.zeros(4_800, np.float32)])
    assert distances(padded, 16_000, recording, 16_000).mcd < 1.0


def test_slower_speech_has_a_small_distance_and_another_formant_a_large_one():
    low, high = buzz(150, 0.6, formant=500), buzz(150, 0.6, formant=2_000)
    slow_low, slow_high = buzz(150, 0.9, formant=500), buzz(150, 0.9, formant=2_000)
    word, slow, reversed_word = (np.concatenate(pair) for pair in ((low, high), (slow_low, slow_high), (high, low)))
    assert distances(slow, 16_000, word, 16_000).mcd < 1.0
    assert distances(reversed_word, 16_000, word, 16_000).mcd > 4.0


def test_the_alignment_follows_the_only_path_of_cost_zero():
    generator = np.random.default_rng(0)
    frames = generator.normal(size=(6, 3))
    held = np.repeat(frames, [1, 3, 1, 2, 1, 1], axis=0)
    rows, columns = align(held, frames)
    np.testing.assert_array_equal(rows, np.arange(9))
    np.testing.assert_array_equal(columns, [0, 1, 1, 1, 2, 3, 3, 4, 5])


@pytest.mark.parametrize(("pitch", "cents"), [(200.0, 0.0), (224.49, 200.0), (100.0, 1200.0)])
def test_the_pitch_distance_is_in_cents(pitch, cents):
    found = distances(buzz(pitch), 16_000, buzz(200.0), 16_000)
    assert found.f0_rmse == pytest.approx(cents, abs=15)
    assert found.voicing_error < 0.05


def test_the_pitch_is_the_same_at_another_sample_rate():
    assert np.nanmedian(analyse(buzz(180, rate=22_050), 22_050).pitch) == pytest.approx(180, rel=0.01)


def test_the_voicing_error_is_the_fraction_of_frames_that_disagree():
    nan = np.nan
    f0_rmse, error = pitch_distances(np.array([100, nan, 100, nan]), np.array([200, 100, nan, nan]))
    assert (f0_rmse, error) == (pytest.approx(1200), 0.5)
    assert pitch_distances(np.array([nan, 100]), np.array([100, nan])) == (None, 1.0)


def test_noise_and_a_voiced_sound_have_a_voicing_error():
    hiss = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert distances(hiss, 16_000, buzz(150), 16_000).voicing_error > 0.7


@pytest.mark.parametrize("samples", [1, 100, 600])
def test_a_short_fragment_is_scored_without_warning(samples):
    assert np.isfinite(distances(buzz(150)[:samples], 16_000, buzz(150), 16_000).mcd)
