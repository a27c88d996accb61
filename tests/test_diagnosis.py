"""Warnings about recordings name the measured cause; ordinary recordings give none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import case_folder

from tts_meta.adapt import Recording, prepare_recordings
from tts_meta.adapt.diagnosis import AlignmentFit, _repeated_half, pauses, shorten_pauses, signal_faults
from tts_meta.adapt.second_speaker import recordings_of_other_speaker, two_clusters
from tts_meta.audio import prepare_waveform, read_audio
from tts_meta.audio.speech import LoadedSpeech
from tts_meta.audio.trimming import AudioConfig
from tts_meta.models.pretrained import Base, load_base

CONFIG = AudioConfig()
RATE = CONFIG.mel.sample_rate


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base()


def warnings_of(base: Base, path: Path, text: str) -> list[str]:
    lines: list[str] = []
    prepare_recordings([Recording(path, text)], base, "speaker", lines.append)
    return lines


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("hum", "mains hum at 50 Hz, 11 dB below the speech"),
        ("pause", "a pause of 3.9 s inside"),
        ("rate", "the sample rate seems to be 16000 Hz, but the header says 44100 Hz"),
    ],
)
def test_the_only_warning_names_the_cause(base: Base, name: str, cause: str) -> None:
    path = case_folder("warning_wrong_cause") / f"{name}.wav"
    (line,) = warnings_of(base, path, path.with_suffix(".txt").read_text())
    assert line.startswith(f"{path}: {cause}")


def test_doubled_longer_and_wrong_transcripts_give_different_warnings(base: Base) -> None:
    path = case_folder("audio_wav_short_header") / "short.wav"
    text = path.with_suffix(".txt").read_text().strip()
    assert warnings_of(base, path, text) == []
    (twice,) = warnings_of(base, path, f"{text} {text}")
    assert "the transcript contains the sentence twice" in twice
    (more,) = warnings_of(base, path, f"{text} And then we walked home along the river in the rain.")
    assert "the transcript contains more than is spoken" in more and "phonemes per second" in more
    (other,) = warnings_of(base, path, "Nobody had seen the old man since the summer.")
    assert "the speech does not seem to match the transcript" in other


def speech_like(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (level * noise * (1.02 - np.cos(2 * np.pi * 4 * time))).astype(np.float32)


def loaded(samples: np.ndarray) -> LoadedSpeech:
    samples = samples.astype(np.float32)
    return LoadedSpeech(prepare_waveform(samples, CONFIG), samples, RATE, len(samples) / RATE)


def kinds(samples: np.ndarray) -> list[str]:
    return [fault.kind for fault in signal_faults(loaded(samples), RATE)]


def test_hum_noise_and_long_pauses_are_detected() -> None:
    clean = np.concatenate([speech_like(2.0), np.zeros(RATE // 2), speech_like(2.0, seed=1)])
    time = np.arange(len(clean)) / RATE
    assert kinds(clean) == []
    assert kinds(clean + 0.02 * np.sin(2 * np.pi * 60 * time) + 0.01 * np.sin(2 * np.pi * 120 * time)) == ["hum"]
    assert kinds(clean + 0.05 * np.random.default_rng(2).standard_normal(len(clean))) == ["noise"]
    assert kinds(np.concatenate([speech_like(1.0), np.zeros(3 * RATE), speech_like(1.0)])) == ["pause"]


def test_pauses_inside_are_found_and_shortened() -> None:
    samples = np.concatenate([np.zeros(RATE), speech_like(1.0), np.zeros(2 * RATE), speech_like(1.0), np.zeros(RATE)])
    samples = samples.astype(np.float32)
    ((begin, end),) = pauses(samples, RATE)
    assert begin / RATE == pytest.approx(2.0, abs=0.06) and end / RATE == pytest.approx(4.0, abs=0.06)
    assert len(shorten_pauses(samples, RATE)) / RATE == pytest.approx(6.0 - 1.7, abs=0.1)


@pytest.mark.parametrize(
    ("text", "half"),
    [("Go on. Go on.", "Go on."), ("go on, Go on!", "go on,"), ("Go on. Go.", ""), ("Go.", ""), ("a b a c", "")],
)
def test_a_text_with_a_repeated_half_is_recognised(text: str, half: str) -> None:
    assert _repeated_half(text) == half


def test_an_alignment_with_a_usual_speaking_rate_is_not_odd() -> None:
    assert not AlignmentFit(0.1, 12.0, 0.1, 0.0).implausible_rate and AlignmentFit(0.1, 12.0, 0.1, 0.0).good
    assert AlignmentFit(0.8, 24.0, 0.6, 0.0).implausible_rate and AlignmentFit(3.0, 6.0, 0.1, 0.1).implausible_rate
    assert not AlignmentFit(0.8, 24.0, 0.6, 0.0).good


def test_two_clusters_are_found_in_any_order() -> None:
    random = torch.Generator().manual_seed(0)
    centres = torch.eye(256)[:2]
    order = [0, 1, 0, 0, 1]
    vectors = torch.nn.functional.normalize(centres[order] + 0.02 * torch.randn(5, 256, generator=random), dim=1)
    assert two_clusters(vectors.numpy()) == ([0, 2, 3], [1, 4])


def test_a_recording_of_another_speaker_is_reported(shared_corpus: Path) -> None:
    first, second = (sorted((shared_corpus / name).glob("*.ogg"))[:4] for name in ("ls121", "ls1188"))
    recordings = [(path, read_audio(path, RATE)) for path in (*first, second[3])]
    assert recordings_of_other_speaker(recordings, RATE) == [second[3]]
    assert recordings_of_other_speaker(recordings[:4], RATE) == []
    assert recordings_of_other_speaker(recordings[:1], RATE) == []
