"""A recording of several sentences in the voice of the shipped base, with pauses between them."""

from __future__ import annotations

import numpy as np

from tts_meta import Synthesizer
from tts_meta.audio.io import Waveform
from tts_meta.audio.waveform import SPEECH_RATE, at_rate

SENTENCES = (
    "The train to the north leaves early in the morning.",
    "They planted apple trees along the garden wall.",
    "In winter the lake is covered with thin ice.",
)
PAUSE = 0.7
"""Seconds between two sentences."""


def spoken_sentences() -> tuple[Waveform, list[tuple[float, float]]]:
    """Return samples at 16 kHz, and start and end of each sentence in seconds."""
    synthesizer, parts, times = Synthesizer(), [np.zeros(SPEECH_RATE // 2, np.float32)], list[tuple[float, float]]()
    for sentence in SENTENCES:
        speech = synthesizer.speak(sentence)
        samples, start = at_rate(speech.samples, speech.rate), sum(map(len, parts))
        parts += [samples, np.zeros(round(PAUSE * SPEECH_RATE), np.float32)]
        times.append((start / SPEECH_RATE, (start + len(samples)) / SPEECH_RATE))
    return np.concatenate(parts), times
