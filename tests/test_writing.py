"""Writing audio files: formats, errors, and samples that cannot be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from faults import error_line

from tts_meta.audio.writing import audio_formats, is_saturated, pcm_bytes, wav_bytes, write_audio, write_wav
from tts_meta.errors import TtsMetaError, UsageError

KINDS = {
    ".wav": ("WAV", "PCM_16", 1e-3),
    ".flac": ("FLAC", "PCM_16", 1e-3),
    ".ogg": ("OGG", "VORBIS", 0.05),
    ".mp3": ("MP3", "MPEG_LAYER_III", 0.05),
    ".opus": ("OGG", "OPUS", 0.1),
}


def chord(rate: int, seconds: float = 1.0) -> np.ndarray:
    """Return a chord that fades in and out, below full scale."""
    time = np.arange(round(rate * seconds)) / rate
    tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 330, 550))
    return (0.2 * tones * np.hanning(len(time))).astype(np.float32)


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("rate", [22050, 16000, 44100])
def test_a_file_has_the_format_of_its_suffix_and_the_same_spectrum(tmp_path: Path, suffix: str, rate: int) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, chord(rate), rate)
    container, subtype, max_error = KINDS[suffix]
    info = soundfile.info(path)
    assert (info.format, info.subtype) == (container, subtype)
    expected_rate = {22050: 24000, 16000: 16000, 44100: 48000}[rate] if suffix == ".opus" else rate
    assert info.samplerate == expected_rate
    samples, read_rate = soundfile.read(path, dtype="float32")
    original = chord(read_rate)
    assert abs(len(samples) - len(original)) < 0.1 * read_rate
    # Encoders delay the signal and change the phase, so only the magnitudes of the spectrum are compared.
    spectrum, expected = (np.abs(np.fft.rfft(signal, 2 * read_rate)) for signal in (samples, original))
    assert np.linalg.norm(spectrum - expected) < max_error * np.linalg.norm(expected)


@pytest.mark.parametrize("name", ["a.WAV", "a.Flac", "a.OGG", "a.MP3", "a.Opus"])
def test_a_suffix_may_be_in_capitals(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / name, chord(22050, 0.2), 22050)
    assert soundfile.info(tmp_path / name).format == KINDS[Path(name).suffix.lower()][0]


@pytest.mark.parametrize("name", ["a.aac", "a", "a.wav.txt", ".wav", "a.", "a.wave"])
def test_the_error_for_an_unknown_suffix_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    line = error_line(lambda: write_audio(tmp_path / name, chord(22050, 0.1), 22050), UsageError)
    assert line.endswith("must be one of .wav, .flac, .ogg, .mp3, .opus") and list(tmp_path.iterdir()) == []


def test_a_format_that_libsndfile_lacks_is_not_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(soundfile, "check_format", lambda container, subtype: subtype != "MPEG_LAYER_III")
    assert list(audio_formats()) == [".wav", ".flac", ".ogg", ".opus"]
    assert ".opus" in error_line(lambda: write_audio(tmp_path / "a.mp3", chord(22050, 0.1), 22050), UsageError)


def test_ogg_files_of_many_minutes_are_written(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.ogg", np.zeros(8000 * 60 * 20, np.float32), 8000)
    assert soundfile.info(tmp_path / "a.ogg").frames == 8000 * 60 * 20


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_never_written(tmp_path: Path, value: float) -> None:
    samples = chord(22050, 0.1)
    samples[7] = value
    for name in KINDS:
        line = error_line(lambda name=name: write_audio(tmp_path / f"a{name}", samples, 22050))
        assert line.startswith(f"{tmp_path / f'a{name}'}: not written") and "NaN or infinite" in line
    with pytest.raises(TtsMetaError, match="NaN or infinite"):
        write_wav(tmp_path / "a.bin", samples, 22050)
    for encode in (pcm_bytes, lambda samples: wav_bytes(samples, 22050)):
        with pytest.raises(TtsMetaError, match="NaN or infinite"):
            encode(samples)
    assert list(tmp_path.iterdir()) == []


def test_louder_samples_are_clipped() -> None:
    assert pcm_bytes(np.array([2.0, -3.0, 0.5], np.float32)) == np.array([32767, -32767, 16384], "<i2").tobytes()


def test_audio_is_saturated_if_most_samples_are_at_full_scale() -> None:
    assert is_saturated(np.array([1.0, -1.0, 1.0, 0.2], np.float32)) and is_saturated(np.array([9.0, -9.0], np.float32))
    assert not is_saturated(np.clip(3 * chord(22050), -1, 1)) and not is_saturated(np.zeros(0, np.float32))


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    for name in KINDS:
        line = error_line(lambda name=name: write_audio(tmp_path / f"a{name}", np.zeros(0, np.float32), 22050))
        assert line.endswith("the audio holds no samples")
