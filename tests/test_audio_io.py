"""Reading and writing recordings: formats, rates, channels, and one-line errors for damaged files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faults import full_disk
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.audio import read_audio, write_wav
from tts_meta.audio.io import Waveform
from tts_meta.errors import TtsMetaError

RATE = 22050


def tone(seconds: float = 1.0, rate: int = RATE, frequency: float = 440.0) -> Waveform:
    return (0.4 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(("suffix", "error"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05), ("mp3", 0.05)])
def test_reading_returns_the_samples_that_were_written(tmp_path: Path, suffix: str, error: float) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(), RATE)
    samples = read_audio(path, RATE)
    assert samples.dtype == np.float32 and samples.ndim == 1 and abs(len(samples) - RATE) < 2500
    np.testing.assert_allclose(samples[2000:20000], tone()[2000:20000], atol=error)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_resampling_keeps_pitch_phase_and_level(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate=rate), rate, subtype="FLOAT")
    samples = read_audio(tmp_path / "a.wav", RATE)
    assert len(samples) == RATE
    np.testing.assert_allclose(samples[1000:-1000], tone()[1000:-1000], atol=2e-3)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    random = np.random.default_rng(0).uniform(-0.5, 0.5, (5000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", random, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", RATE), random.mean(1), atol=1e-6)


def damaged(folder: Path, kind: str) -> Path:
    """Write a file that is not a valid recording."""
    undamaged = folder / "undamaged.wav"
    soundfile.write(undamaged, tone(), RATE)
    path = folder / f"{kind}.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("I am no recording. " * 100)
    elif kind == "random":
        path.write_bytes(np.random.default_rng(0).bytes(20_000))
    elif kind == "no samples":
        soundfile.write(path, tone()[:0], RATE)
    elif kind == "header":
        path.write_bytes(undamaged.read_bytes()[:30])
    elif kind == "truncated":
        path.write_bytes(undamaged.read_bytes()[:30_000])
    elif kind == "truncated flac":
        soundfile.write(path, tone(), RATE, format="FLAC")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "nan":
        soundfile.write(path, np.where(np.arange(RATE) == 99, np.nan, tone()), RATE, subtype="FLOAT")
    elif kind == "infinite":
        soundfile.write(path, np.where(np.arange(RATE) == 99, -np.inf, tone()), RATE, subtype="DOUBLE")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("folder", "folder|not a file"),
        ("empty", "empty"),
        ("text", "not readable as audio"),
        ("random", "not readable as audio"),
        ("no samples", "holds no samples"),
        ("header", "holds no samples|not readable as audio|truncated"),
        ("truncated", "truncated, its header declares more data than the file holds"),
        ("truncated flac", "truncated|not readable as audio"),
        ("nan", "not numbers"),
        ("infinite", "not numbers"),
    ],
)
def test_the_error_for_a_damaged_file_is_one_line_that_names_it(tmp_path: Path, kind: str, message: str) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(TtsMetaError, match=message) as error:
        read_audio(path, RATE)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_a_recording_of_one_hour_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 8000, 1) as handle:
        for _ in range(60):
            handle.write(np.zeros(60 * 8000, np.int16))
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *args, **options: pytest.fail("decoded"))
    with pytest.raises(TtsMetaError, match="3600 s long, at most 60 s are allowed"):
        read_audio(path, RATE, max_seconds=60.0)


def test_a_recording_of_the_longest_allowed_duration_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(2.0), RATE)
    assert len(read_audio(tmp_path / "a.wav", RATE, max_seconds=2.0)) == 2 * RATE


def test_a_streamed_wav_without_a_length_in_its_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    offset = content.index(b"data") + 4
    content[4:8] = content[offset : offset + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    np.testing.assert_allclose(read_audio(path, RATE), tone(), atol=1e-4)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=50))
def test_writing_keeps_16_bits_and_clips_samples_beyond_full_scale(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.wav"
    samples = np.array(values, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_wav(path, samples, RATE)
    assert soundfile.info(path).subtype == "PCM_16" and soundfile.info(path).samplerate == RATE
    np.testing.assert_allclose(read_audio(path, RATE), np.clip(samples, -1, 1), atol=1.1 / 32768)


def test_a_full_disk_does_not_destroy_the_old_recording(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(0.1), RATE)
    with pytest.raises(TtsMetaError, match=r"cannot write .*File too large"), full_disk(10_000):
        write_wav(tmp_path / "a.wav", tone(1.0), RATE)
    assert len(read_audio(tmp_path / "a.wav", RATE)) == len(tone(0.1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
