"""Warnings name the cause that was measured, and ordinary recordings have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import case_folder

from tts_meta.adapt import Recording, prepare_recordings
from tts_meta.adapt.diagnosis import Fit, _half_of_twice, measured_faults, pauses, without_pauses
from tts_meta.adapt.two_voices import other_voice, two_groups
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
        ("rate", "it sounds as if its sample rate were 16000 Hz, its header says 44100"),
    ],
)
def test_the_one_warning_is_of_the_cause(base: Base, name: str, cause: str) -> None:
    path = case_folder("warning_wrong_cause") / f"{name}.wav"
    (line,) = warnings_of(base, path, path.with_suffix(".txt").read_text())
    assert line.startswith(f"{path}: {cause}")


def test_a_transcript_of_more_twice_and_of_something_else_is_told_apart(base: Base) -> None:
    path = case_folder("audio_wav_short_header") / "short.wav"
    text = path.with_suffix(".txt").read_text().strip()
    assert warnings_of(base, path, text) == []
    (twice,) = warnings_of(base, path, f"{text} {text}")
    assert "the transcript says the sentence twice" in twice
    (more,) = warnings_of(base, path, f"{text} And then we walked home along the river in the rain.")
    assert "the transcript says more than is spoken" in more and "sounds a second" in more
    (other,) = warnings_of(base, path, "Nobody had seen the old man since the summer.")
    assert "what is said does not seem to be" in other


def speech_like(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (level * noise * (1.02 - np.cos(2 * np.pi * 4 * time))).astype(np.float32)


def loaded(samples: np.ndarray) -> LoadedSpeech:
    samples = samples.astype(np.float32)
    return LoadedSpeech(prepare_waveform(samples, CONFIG), samples, RATE, len(samples) / RATE)


def kinds(samples: np.ndarray) -> list[str]:
    return [fault.kind for fault in measured_faults(loaded(samples), RATE)]


def test_faults_of_the_sound_are_measured() -> None:
    clean = np.concatenate([speech_like(2.0), np.zeros(RATE // 2), speech_like(2.0, seed=1)])
    time = np.arange(len(clean)) / RATE
    assert kinds(clean) == []
    assert kinds(clean + 0.02 * np.sin(2 * np.pi * 60 * time) + 0.01 * np.sin(2 * np.pi * 120 * time)) == ["hum"]
    assert kinds(clean + 0.05 * np.random.default_rng(2).standard_normal(len(clean))) == ["noise"]
    assert kinds(np.concatenate([speech_like(1.0), np.zeros(3 * RATE), speech_like(1.0)])) == ["pause"]


def test_pauses_are_found_inside_and_cut_to_their_usual_length() -> None:
    samples = np.concatenate([np.zeros(RATE), speech_like(1.0), np.zeros(2 * RATE), speech_like(1.0), np.zeros(RATE)])
    samples = samples.astype(np.float32)
    ((begin, end),) = pauses(samples, RATE)
    assert begin / RATE == pytest.approx(2.0, abs=0.06) and end / RATE == pytest.approx(4.0, abs=0.06)
    assert len(without_pauses(samples, RATE)) / RATE == pytest.approx(6.0 - 1.7, abs=0.1)


@pytest.mark.parametrize(
    ("text", "half"),
    [("Go on. Go on.", "Go on."), ("go on, Go on!", "go on,"), ("Go on. Go.", ""), ("Go.", ""), ("a b a c", "")],
)
def test_a_text_said_twice_is_seen(text: str, half: str) -> None:
    assert _half_of_twice(text) == half


def test_a_fit_of_usual_pace_is_not_odd() -> None:
    assert not Fit(0.1, 12.0, 0.1, 0.0).odd and Fit(0.1, 12.0, 0.1, 0.0).good
    assert Fit(0.8, 24.0, 0.6, 0.0).odd and Fit(3.0, 6.0, 0.1, 0.1).odd
    assert not Fit(0.8, 24.0, 0.6, 0.0).good


def test_two_groups_are_found_whatever_their_order() -> None:
    random = torch.Generator().manual_seed(0)
    centres = torch.eye(256)[:2]
    order = [0, 1, 0, 0, 1]
    vectors = torch.nn.functional.normalize(centres[order] + 0.02 * torch.randn(5, 256, generator=random), dim=1)
    assert two_groups(vectors.numpy()) == ([0, 2, 3], [1, 4])


def test_a_recording_of_another_speaker_is_named(shared_corpus: Path) -> None:
    first, second = (sorted((shared_corpus / name).glob("*.ogg"))[:4] for name in ("ls121", "ls1188"))
    recordings = [(path, read_audio(path, RATE)) for path in (*first, second[3])]
    assert other_voice(recordings, RATE) == [second[3]]
    assert other_voice(recordings[:4], RATE) == []
    assert other_voice(recordings[:1], RATE) == []
