"""The speaker encoder equals Resemblyzer; the equal error rate equals closed forms."""

from __future__ import annotations

import warnings
from statistics import NormalDist
from types import ModuleType

import numpy as np
import pytest
import torch

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.similarity import (
    cosine,
    equal_error_rate,
    mean_embedding,
    verification_scores,
    voice_embedding,
)
from tts_meta.models.speaker_encoder import (
    SpeakerEncoder,
    normalize_volume,
    partial_starts,
    power_mel,
    trim_long_silences,
)

LARGEST = {36: 0.2023, 66: 0.1828, 78: 0.1869, 122: 0.2409, 158: 0.2032, 169: 0.1901, 226: 0.1821, 246: 0.2777}
"""The entries above 0.18 that resemblyzer 0.1.4 gives, VoiceEncoder("cpu").embed_utterance(preprocess_wav(...))."""


def vowel(seconds: float = 3.0, pitch: float = 120.0, rate: int = 16_000, pause: float = 0.0) -> np.ndarray:
    """A buzz with two formants and vibrato, silent for `pause` seconds in its middle."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.03 * np.sin(2 * np.pi * 5 * time))) / rate
    samples = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency = pitch * harmonic
        height = 1 / (1 + ((frequency - 600) / 150) ** 2) + 0.5 / (1 + ((frequency - 1500) / 200) ** 2)
        samples += height * np.sin(harmonic * phase)
    samples *= 0.3 / np.abs(samples).max()
    middle, half = len(time) // 2, int(pause * rate / 2)
    samples[middle - half : middle + half] = 0
    return samples.astype(np.float32)


def import_resemblyzer() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of scipy.ndimage.morphology
        return pytest.importorskip("resemblyzer", reason="resemblyzer is not installed; its frozen values are tested")


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return SpeakerEncoder.load()


def test_the_embedding_equals_stored_values_of_resemblyzer(encoder):
    embedding = encoder.embed(vowel(pause=1.0), 16_000)
    assert {index: float(embedding[index]) for index in LARGEST} == pytest.approx(LARGEST, abs=1e-3)
    assert int((embedding > 0.18).sum()) == len(LARGEST)


def test_the_embedding_equals_that_of_resemblyzer(encoder):
    resemblyzer = import_resemblyzer()
    voice_encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    for samples in (vowel(1.0), vowel(4.0, 210.0, pause=1.5), vowel(2.0, rate=22_050)):
        rate = 22_050 if len(samples) == 44_100 else 16_000
        expected = voice_encoder.embed_utterance(resemblyzer.preprocess_wav(samples, rate))
        assert cosine(encoder.embed(samples, rate), expected) > 1 - 2e-6


def test_the_power_mel_equals_that_of_librosa():
    import librosa

    samples = vowel(1.0)
    expected = librosa.feature.melspectrogram(y=samples, sr=16_000, n_fft=400, hop_length=160, n_mels=40)
    np.testing.assert_allclose(power_mel(torch.from_numpy(samples)).numpy().T, expected, rtol=1e-3, atol=1e-6)


def test_removed_pauses_and_partial_windows_equal_those_of_resemblyzer():
    resemblyzer = import_resemblyzer()
    generator = np.random.default_rng(0)
    for _ in range(10):
        parts = [vowel(generator.uniform(0.02, 0.4), generator.uniform(80, 250)) for _ in range(12)]
        hiss = [generator.normal(0, 1e-3, generator.integers(12_000)).astype(np.float32) for _ in parts]
        samples = np.concatenate([part for pair in zip(parts, hiss, strict=True) for part in pair])
        np.testing.assert_array_equal(trim_long_silences(samples), resemblyzer.trim_long_silences(samples))
        slices, _ = resemblyzer.VoiceEncoder.compute_partial_slices(len(samples), 1.3, 0.75)
        assert [start * 160 for start in partial_starts(len(samples))] == [part.start for part in slices]


def test_long_pauses_are_removed_and_short_pauses_kept():
    assert len(trim_long_silences(vowel(3.0, pause=1.5))) < 2.2 * 16_000
    assert len(trim_long_silences(vowel(3.0, pause=0.1))) > 2.8 * 16_000


def test_sound_without_voice_is_returned_in_full():
    hiss = np.random.default_rng(0).normal(0, 1e-4, 16_000).astype(np.float32)
    assert len(trim_long_silences(hiss)) == 16_000


def test_volume_is_raised_to_the_target_and_never_lowered():
    quiet = normalize_volume(vowel() * np.float32(1e-3))
    assert 20 * np.log10(np.sqrt(np.mean(quiet**2))) == pytest.approx(-30, abs=0.01)
    np.testing.assert_array_equal(normalize_volume(vowel()), vowel())


@pytest.mark.parametrize(
    ("seconds", "starts"),
    # resemblyzer 0.1.4, VoiceEncoder.compute_partial_slices. A last window under three quarters full is dropped.
    [(0.01, [0]), (1.6, [0]), (1.96, [0]), (1.97, [0, 77]), (3.0, [0, 77, 154]), (4.0, [0, 77, 154, 231])],
)
def test_partial_windows_cover_the_speech(seconds, starts):
    assert partial_starts(int(seconds * 16_000)) == starts


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(16_000, np.float32), "silent"),
        (np.zeros(0, np.float32), "empty"),
        (np.full(16_000, np.nan, np.float32), "NaN"),
        (np.zeros((2, 16_000), np.float32), "one channel"),
    ],
)
def test_the_error_for_an_unusable_waveform_is_one_line(encoder, waveform, message):
    with pytest.raises(TtsMetaError, match=message) as error:
        encoder.embed(waveform, 16_000)
    assert "\n" not in str(error.value)


def test_tensors_and_other_rates_give_the_same_embedding(encoder):
    at_16 = encoder.embed(vowel(), 16_000)
    assert cosine(at_16, encoder.embed(torch.from_numpy(vowel()), 16_000)) == pytest.approx(1, abs=1e-6)
    assert cosine(at_16, encoder.embed(vowel(rate=22_050), 22_050)) > 0.98


def test_the_mean_embedding_is_a_unit_vector_between_its_parts(encoder):
    low, high = vowel(pitch=100), vowel(pitch=220)
    mean = voice_embedding(encoder, [(low, 16_000), (high, 16_000)])
    parts = [encoder.embed(low, 16_000), encoder.embed(high, 16_000)]
    assert np.linalg.norm(mean) == pytest.approx(1, abs=1e-6)
    assert cosine(mean, parts[0]) == pytest.approx(cosine(mean, parts[1]), abs=1e-6)
    assert cosine(mean, parts[0]) > cosine(parts[0], parts[1])
    with pytest.raises(UsageError, match="at least one"):
        mean_embedding([])


def test_the_equal_error_rate_is_zero_for_separate_scores_and_half_for_equal_scores():
    assert equal_error_rate([0.8, 0.9], [0.1, 0.2, 0.3]) == 0
    assert equal_error_rate([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.5)
    assert equal_error_rate([0.1, 0.2], [0.8, 0.9]) == 1


def test_the_equal_error_rate_counts_known_errors():
    # One true claim of four below one false claim of four: a quarter of each is wrong at the threshold between.
    assert equal_error_rate([0.3, 0.7, 0.8, 0.9], [0.0, 0.1, 0.2, 0.5]) == pytest.approx(0.25)


@pytest.mark.parametrize("separation", [0.5, 1.0, 2.0])
def test_the_equal_error_rate_of_two_normals_is_the_tail_beyond_half_their_distance(separation):
    generator = np.random.default_rng(0)
    rate = equal_error_rate(generator.normal(separation, 1, 40_000), generator.normal(0, 1, 60_000))
    assert rate == pytest.approx(NormalDist().cdf(-separation / 2), abs=0.005)


def test_equal_error_rate_refuses_one_sided_scores():
    with pytest.raises(UsageError, match="two speakers"):
        equal_error_rate([0.5], [])


def test_verification_scores_separate_true_and_false_claims():
    east, north = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    same, other = verification_scores([east, north, east], ["e", "n", "n"], {"e": east, "n": north})
    assert same == [1.0, 1.0, 0.0]
    assert other == [0.0, 0.0, 1.0]
