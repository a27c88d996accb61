"""Where a recording has speech, by the network Silero VAD, which faster-whisper includes."""

from __future__ import annotations

from itertools import pairwise

from tts_meta.audio.io import Waveform
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.optional_deps import load_extra, quiet

MIN_PAUSE = 0.1
"""Shortest pause, seconds."""
_BLOCK = 600 * SPEECH_RATE

Interval = tuple[float, float]
"""Start and end in seconds."""


def speech_intervals(samples: Waveform) -> list[Interval]:
    """Return the intervals of speech in samples `(S,)` at 16 kHz, in order; none for music, noise and silence.

    Pauses shorter than `MIN_PAUSE` are part of the speech.
    """
    vad = load_extra("faster_whisper.vad")
    options = vad.VadOptions(min_silence_duration_ms=round(1000 * MIN_PAUSE), speech_pad_ms=0)
    intervals: list[Interval] = []
    with quiet():
        # The network reads all of its input at once, so blocks limit the memory.
        for first in range(0, len(samples), _BLOCK):
            for part in vad.get_speech_timestamps(samples[first : first + _BLOCK], options):
                start, end = ((first + part[name]) / SPEECH_RATE for name in ("start", "end"))
                if intervals and start - intervals[-1][1] < MIN_PAUSE:
                    start = intervals.pop()[0]
                intervals.append((start, end))
    return intervals


def pack_intervals(intervals: list[Interval], seconds: float) -> list[Interval]:
    """Join successive intervals of speech to windows of at most `seconds`. A longer interval is divided equally."""
    windows: list[Interval] = []
    for start, end in intervals:
        if windows and end - windows[-1][0] <= seconds:
            windows[-1] = (windows[-1][0], end)
            continue
        count = max(1, -int(-(end - start) // seconds))
        marks = [start + number * (end - start) / count for number in range(count + 1)]
        windows += pairwise(marks)
    return windows
