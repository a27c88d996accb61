"""Trimming and loudness normalisation follow the speech, not clicks, hum or noise in the recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tts_meta.audio import prepare_waveform, read_audio
from tts_meta.audio.interference import find_hum
from tts_meta.audio.levels import levels_db
from tts_meta.audio.trimming import AudioConfig, _simple_extent

CONFIG = AudioConfig()
RATE = CONFIG.mel.sample_rate
SPEECH_START, SPEECH_SECONDS = 2.0, 3.0


def syllables(seconds: float = SPEECH_SECONDS, seed: int = 0) -> np.ndarray:
    """Return noise between 200 and 4,000 Hz, modulated four times a second."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal(round(seconds * RATE)))
    frequencies = np.fft.rfftfreq(round(seconds * RATE), 1 / RATE)
    spectrum[(frequencies < 200) | (frequencies > 4000)] = 0
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.08 * np.fft.irfft(spectrum, len(time)) * (1.05 - np.cos(2 * np.pi * 4 * time))).astype(np.float32)


def recording(pause: float = 0.0) -> np.ndarray:
    """Return two seconds of a quiet room, speech with a pause in the middle, and two seconds of a quiet room."""
    speech = syllables()
    half = len(speech) // 2
    room = 1e-5 * np.random.default_rng(1).standard_normal(round(2 * SPEECH_START * RATE))
    gap = np.zeros(round(pause * RATE))
    return np.concatenate([room[: len(room) // 2], speech[:half], gap, speech[half:], room[len(room) // 2 :]])


def event(kind: str) -> np.ndarray:
    """Return a click, a knock, or a bump of the table."""
    time = np.arange(round(0.2 * RATE)) / RATE
    if kind == "click":
        return np.ones(20)
    if kind == "knock":
        return np.random.default_rng(2).standard_normal(len(time)) * np.exp(-time / 0.008) / 3
    return np.sin(2 * np.pi * 60 * time) * np.exp(-time / 0.05)


def with_fault(kind: str, seconds: float = 0.3) -> np.ndarray:
    """Return the recording with a fault; an event starts at `seconds`."""
    samples = recording().copy()
    time = np.arange(len(samples)) / RATE
    if kind in ("click", "knock", "bump"):
        start = round(seconds * RATE)
        samples[start : start + len(event(kind))] += event(kind)
    elif kind.startswith("hum"):
        mains = float(kind[3:5])
        size = {"loud": 0.2, "soft": 0.01}[kind[6:]]
        for harmonic, amplitude in ((1, 1.0), (2, 0.5), (3, 0.3)):
            samples += size * amplitude * np.sin(2 * np.pi * harmonic * mains * time + harmonic)
    elif kind == "offset":
        samples += 0.3
    elif kind == "offset in the second half":
        samples[len(samples) // 2 :] += 0.2
    elif kind == "drift":
        samples += 0.2 * np.sin(2 * np.pi * 0.4 * time)
    elif kind == "noise":
        samples += 0.004 * np.random.default_rng(3).standard_normal(len(samples))
    return samples.astype(np.float32)


FAULTS = ["click", "knock", "bump", "hum50 loud", "hum60 loud", "hum50 soft", "hum60 soft", "offset",
          "offset in the second half", "drift", "noise"]  # fmt: skip


def extra_seconds(prepared: np.ndarray) -> float:
    """Return by how much the prepared waveform is longer than the speech in it."""
    return len(prepared) / RATE - SPEECH_SECONDS


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_changes_neither_the_trimming_nor_the_loudness(kind: str) -> None:
    clean, faulty = (
        prepare_waveform(samples.astype(np.float32), CONFIG) for samples in (recording(), with_fault(kind))
    )
    assert abs(extra_seconds(clean)) < 0.3
    assert -0.1 < extra_seconds(faulty) < 0.6, "trimmed like the clean recording"
    spectra = [np.abs(np.fft.rfft(x, 2**18)) for x in (clean, faulty)]
    band = slice(round(500 / RATE * 2**18), round(3500 / RATE * 2**18))
    change = 20 * np.log10(np.linalg.norm(spectra[1][band]) / np.linalg.norm(spectra[0][band]))
    assert abs(change) < 1.5, "as loud as the clean recording"


@pytest.mark.parametrize("kind", ["click", "knock", "bump"])
@pytest.mark.parametrize("seconds", [3.4, 6.6])
def test_an_event_within_or_after_the_speech_changes_little(kind: str, seconds: float) -> None:
    clean, faulty = (
        prepare_waveform(samples.astype(np.float32), CONFIG) for samples in (recording(), with_fault(kind, seconds))
    )
    assert abs(len(clean) - len(faulty)) < 0.35 * RATE
    ratio = 20 * np.log10(np.median(np.abs(faulty)) / np.median(np.abs(clean)))
    assert abs(ratio) < 3


def test_a_long_pause_within_the_speech_is_kept() -> None:
    paused = prepare_waveform(recording(pause=4.0).astype(np.float32), CONFIG)
    without_pause = prepare_waveform(recording().astype(np.float32), CONFIG)
    assert extra_seconds(paused) == pytest.approx(extra_seconds(without_pause) + 4.0, abs=0.05)


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_the_frequency_and_power_of_hum_are_measured(mains: float) -> None:
    hum = find_hum(with_fault(f"hum{mains:.0f} soft"), RATE)
    assert hum is not None and hum.frequency == mains
    assert 10 * np.log10(hum.power) == pytest.approx(10 * np.log10(0.01**2 / 2 * (1 + 0.25 + 0.09)), abs=2)
    assert find_hum(recording(), RATE) is None


def test_ordinary_sentences_use_the_simple_measurement(shared_corpus: Path) -> None:
    lines = [line.split("\t") for line in (shared_corpus / "manifest.tsv").read_text().splitlines()[1:]]
    files = [shared_corpus / line[5] for line in lines if line[0] == "train"][::40]
    same = 0
    for file in files:
        samples = read_audio(file, RATE)
        centred = samples - samples.mean()
        extent = _simple_extent(centred, levels_db(centred), CONFIG)
        expected = centred[extent.start : extent.end] * extent.gain / max(1.0, extent.peak)
        same += np.array_equal(prepare_waveform(samples, CONFIG), np.clip(expected, -1, 1))
    assert len(files) > 60 and same >= 0.98 * len(files)
