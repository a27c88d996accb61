"""Synthetic recordings that resemble speech enough for the measures of a corpus report, and their faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tts_meta.audio.io import Waveform
from tts_meta.corpus import Manifest, Utterance

RATE = 16000
SENTENCES = (
    "The boat went slowly down the long river.",
    "A small dog was asleep under the kitchen table.",
    "Nobody had seen the old man since the summer.",
    "We walked home together in the evening rain.",
    "Her brother keeps the letters in a wooden box.",
    "The train to the north leaves early in the morning.",
    "They planted apple trees along the garden wall.",
    "In winter the lake is covered with thin ice.",
    "The baker opens his shop before the sun is up.",
    "Three children played with a ball on the grass.",
    "He could not remember the name of the street.",
    "The wind closed the window with a loud noise.",
)


def pulses(seconds: float, hertz: float, vibrato: float = 0.0, rate: int = RATE) -> Waveform:
    """Return a train of pulses with this fundamental frequency, whose harmonics fall by 6 dB per octave above 1 kHz.

    vibrato: largest deviation of the frequency, as a fraction. A constant frequency may look like mains hum.
    """
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * hertz * np.cumsum(1 + vibrato * np.sin(2 * np.pi * 0.7 * time)) / rate
    harmonics = np.arange(1, int(0.95 * rate / 2 / hertz / (1 + vibrato)) + 1)
    weights = 1 / np.sqrt(1 + (harmonics * hertz / 1000) ** 2)
    signal = sum(weight * np.cos(number * phase) for number, weight in zip(harmonics, weights, strict=True))
    return (np.asarray(signal) / np.abs(signal).max()).astype(np.float32)


def noise(seconds: float, level: float, seed: int = 0) -> Waveform:
    """Return white noise of this root mean square."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def spoken(text: str, hertz: float, seed: int = 0) -> Waveform:
    """Return a recording of a text: pulses with syllables, 0.065 s a letter, silence at both ends, soft noise."""
    seconds = 0.065 * sum(map(str.isalnum, text)) * (1 + 0.04 * np.random.default_rng(seed).standard_normal())
    voice = pulses(seconds, hertz, vibrato=0.1)
    time = np.arange(len(voice)) / RATE
    voice = 0.5 * voice * (1.1 - np.cos(2 * np.pi * 4 * time)) / 2
    silence = np.zeros(round(0.3 * RATE), np.float32)
    samples = np.concatenate([silence, voice.astype(np.float32), silence])
    return samples + noise(len(samples) / RATE, 3e-4, seed)


def low_passed(samples: Waveform, hertz: float, rate: int = RATE) -> Waveform:
    """Return samples without any content above a frequency."""
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / rate) > hertz] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


class CorpusFolder:
    """A folder of recordings and its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.utterances = list[Utterance]()

    def add(self, name: str, speaker: str, text: str, samples: Waveform, **fields: Any) -> None:
        """Write a recording, and add its line."""
        path = self.folder / "wavs" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.clip(samples, -1, 1), RATE)
        self.utterances.append(Utterance(name, speaker, path.resolve(), len(samples) / RATE, text, **fields))

    def add_clean(self, speakers: int = 3) -> None:
        """Add every sentence by each speaker, without faults."""
        for number in range(speakers):
            fields = {"gender": "FM"[number % 2], "split": "train" if number else "dev", "language": "en"}
            for index, text in enumerate(SENTENCES):
                seed = 100 * number + index
                samples = spoken(text, 110 + 40 * number, seed)
                self.add(f"s{number}-{index:02d}", f"s{number}", text, samples, **fields)

    def save(self) -> Path:
        """Write the manifest and return its path."""
        Manifest(tuple(self.utterances)).save(self.folder / "manifest.jsonl")
        return self.folder / "manifest.jsonl"
