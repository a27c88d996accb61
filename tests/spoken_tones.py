"""Recordings in which each letter is a tone, with a detector of speech and a recogniser that read them exactly.

They take the place of Silero VAD and Whisper, which need weights and time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import LETTERS

from tts_meta.asr.words import Segment, Word
from tts_meta.audio.io import Waveform

RATE = 16000
LETTER_SECONDS, GAP_SECONDS = 0.2, 0.03
CLAUSE_PAUSE, SENTENCE_PAUSE = 0.3, 0.6


def spoken(text: str, lead: float = 0.5, sentence_pause: float = SENTENCE_PAUSE) -> tuple[Waveform, list[float]]:
    """Return the samples of a text at 16 kHz, and the start of each word in seconds.

    A word ends with a short gap, a comma with a pause, and a full stop with a longer pause.
    """
    parts, starts, count = [np.zeros(round(lead * RATE))], list[float](), round(lead * RATE)
    for word in text.split():
        starts.append(count / RATE)
        pause = {",": CLAUSE_PAUSE, ".": sentence_pause}.get(word[-1], GAP_SECONDS)
        time = np.arange(round(LETTER_SECONDS * RATE)) / RATE
        tones = [0.3 * np.sin(2 * np.pi * _hertz(letter) * time) for letter in word if letter in LETTERS]
        parts += [*tones, np.zeros(round(pause * RATE))]
        count += len(tones) * len(time) + round(pause * RATE)
    return np.concatenate(parts).astype(np.float32), starts


def write_spoken(path: Path, text: str, **options: float) -> list[float]:
    """Write the recording of a text, and return the start of each word in seconds."""
    samples, starts = spoken(text, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return starts


def tone_intervals(samples: Waveform) -> list[tuple[float, float]]:
    """Return the intervals of speech, as `speech_intervals`: pauses below 0.1 s are part of the speech."""
    joined = list[tuple[float, float]]()
    for start, end in _sounds(samples):
        if joined and start - joined[-1][1] < 0.1:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


@dataclass
class ToneRecogniser:
    """A recogniser of tones. It writes a comma or a full stop for a pause that is as long as in `spoken`.

    recognised: another word for a word, as a wrong recognition. marks: values of the segments. calls: the language of
    each call.
    """

    recognised: dict[str, str] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)
    language: str = "en"
    calls: list[str | None] = field(default_factory=list)

    def segments(self, samples: Waveform, language: str | None) -> list[Segment]:
        self.calls.append(language)
        sounds = _sounds(samples)
        words = list[Word]()
        for (start, end), (following, _) in pairwise([*sounds, (len(samples) / RATE + 9, 0.0)]):
            text = self._letters(samples[round(start * RATE) : round(end * RATE)])
            text = self.recognised.get(text, text)
            pause = following - end
            mark = "." if pause > SENTENCE_PAUSE - 0.1 else "," if pause > CLAUSE_PAUSE - 0.1 else ""
            words.append(Word(f" {text}{mark}", start, end, 0.9))
        values = {"log_probability": -0.2, "no_speech": 0.1, "compression": 1.2} | self.marks
        return [Segment(tuple(words), **values, language=self.language, language_probability=0.95)] if words else []

    @staticmethod
    def _letters(samples: Waveform) -> str:
        block = round(LETTER_SECONDS * RATE)
        letters = ""
        for number in range(round(len(samples) / block)):
            part = samples[number * block : (number + 1) * block]
            hertz = np.abs(np.fft.rfft(part, RATE)).argmax()
            letters += min(LETTERS, key=lambda letter: abs(_hertz(letter) - hertz))
        return letters


@pytest.fixture
def tone_speech_activity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace Silero VAD by `tone_intervals`."""
    monkeypatch.setattr("tts_meta.asr.recording.speech_intervals", tone_intervals)


def _hertz(letter: str) -> float:
    return 400 * 1.25 ** LETTERS.index(letter)


def _sounds(samples: Waveform) -> Sequence[tuple[float, float]]:
    """Return start and end in seconds of each part without silence of 10 ms."""
    step = RATE // 200
    loud = np.abs(samples[: len(samples) // step * step]).reshape(-1, step).max(1) > 0.02
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    return [
        (float(start * step / RATE), float(end * step / RATE))
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]
