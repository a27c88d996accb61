"""The numbers of a corpus report: totals, attributes, speakers, and the distribution of each measure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_meta.report.corpus.findings import speech_rates
from tts_meta.report.corpus.lines import ATTRIBUTES, CorpusLines
from tts_meta.report.corpus.measure import Measured, Sound

AttributeRow = tuple[str | None, int, int, float]
"""Value of an attribute (None: not stated), number of speakers, number of utterances, hours."""
_MAX_REASONS = 50


@dataclass(frozen=True)
class Measure:
    """Values of one measure. key: name in `report.json`. label: name on the page, with the unit."""

    key: str
    label: str
    values: NDArray[np.float64]

    def statistics(self) -> dict[str, float | int | None]:
        """Return the number of values, minimum, 5th, 50th and 95th percentile, and maximum."""
        names = ("minimum", "p5", "median", "p95", "maximum")
        if not len(self.values):
            return {"count": 0, **dict.fromkeys(names)}
        points = np.quantile(self.values, (0, 0.05, 0.5, 0.95, 1))
        return {
            "count": len(self.values),
            **{name: round(float(point), 4) for name, point in zip(names, points, strict=True)},
        }


def measures(lines: CorpusLines, measured: Mapping[int, Measured]) -> list[Measure]:
    """Return the measures of all lines, then those of the measured recordings."""
    sounds = [result.sound for result in measured.values() if result.sound is not None]
    f0 = [sound.f0 for sound in sounds if sound.f0 is not None]
    phonemes = [line for line, result in measured.items() if result.sound is not None and result.phonemes is not None]
    return [
        Measure("seconds", "Length (s)", lines.seconds),
        Measure("words", "Words", lines.words.astype(np.float64)),
        Measure("characters", "Characters", lines.characters.astype(np.float64)),
        Measure("characters_per_second", "Characters per second of the file", lines.characters / lines.seconds),
        Measure("loudness", "Loudness of the speech (dB of full scale)", _values(sounds, "loudness")),
        Measure("snr", "Signal-to-noise ratio (dB)", _values(sounds, "snr")),
        Measure("bandwidth", "Bandwidth (Hz)", _values(sounds, "bandwidth")),
        Measure("sample_rate", "Sample rate of the file (Hz)", _values(sounds, "rate")),
        Measure("f0_median", "F0, median of each recording (Hz)", np.array([median for _, median, _ in f0])),
        Measure("f0_range", "F0, 95th percentile above the 5th (semitones)", _semitones(f0)),
        Measure("phonemes_per_second", "Phonemes per second of speech", speech_rates(lines, measured, phonemes).rate),
        Measure("end_silence", "Silence before and after the speech (s)", _values(sounds, "end_silence")),
        Measure("longest_pause", "Longest pause (s)", _values(sounds, "longest_pause")),
    ]


def speaker_rows(lines: CorpusLines, measured: Mapping[int, Measured]) -> list[dict[str, Any]]:
    """Return the numbers of each speaker, the speaker with most speech first."""
    results: list[list[Measured]] = [[] for _ in lines.speakers]
    for line, result in measured.items():
        results[int(lines.speaker[line])].append(result)
    rows = [
        {
            "speaker": name,
            "utterances": speaker.utterances,
            "hours": round(speaker.seconds / 3600, 5),
            **{key: _value(speaker.attributes[key]) for key in ATTRIBUTES},
            **_of_sounds([result.sound for result in own if result.sound is not None]),
            "phonemes_per_second": _rate(own),
        }
        for (name, speaker), own in zip(lines.speakers.items(), results, strict=True)
    ]
    return sorted(rows, key=lambda row: (-row["hours"], row["speaker"]))


def attribute_rows(lines: CorpusLines, name: str) -> list[AttributeRow]:
    """Return the numbers of each value of an attribute, the one with most hours first."""
    speakers, utterances = Counter[str](), Counter[str]()
    for speaker in lines.speakers.values():
        speakers.update(speaker.attributes[name].keys())
        utterances.update(speaker.attributes[name])
    seconds = lines.seconds_of[name]
    return [
        (value or None, speakers[value], utterances[value], seconds[value] / 3600)
        for value in sorted(seconds, key=lambda value: (-seconds[value], value))
    ]


def dropped_reasons(dropped: Path) -> list[tuple[str, int, str]]:
    """Return reason, number and one id of the recordings in `dropped.jsonl`; equal reasons differ in numbers only."""
    if not dropped.is_file():
        return []
    counts, examples = Counter[str](), dict[str, str]()
    with open(dropped, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            reason = re.sub(r"\d+(?:\.\d+)?", "…", re.sub(r"^\S*[/\\].*?: ", "", entry["reason"]))
            counts[reason] += 1
            examples.setdefault(reason, entry["id"])
    return [(reason, count, examples[reason]) for reason, count in counts.most_common(_MAX_REASONS)]


def _values(sounds: Sequence[Sound], name: str) -> NDArray[np.float64]:
    return np.array([getattr(sound, name) for sound in sounds], np.float64)


def _semitones(f0: Sequence[tuple[float, float, float]]) -> NDArray[np.float64]:
    return np.array([12 * np.log2(high / low) for low, _, high in f0], np.float64)


def _value(counts: Counter[str]) -> str | None:
    """Return the value of an attribute, or the values with commas if there are several."""
    return ", ".join(sorted(value for value in counts if value)) or None


def _of_sounds(sounds: Sequence[Sound]) -> dict[str, Any]:
    """Return medians over the recordings of a speaker; None without recordings."""
    f0 = np.array([sound.f0 for sound in sounds if sound.f0 is not None])
    low, median, high = np.median(f0, axis=0).round(1).tolist() if len(f0) else (None, None, None)
    medians: dict[str, Any] = {
        name: round(float(np.median(_values(sounds, name))), 1) if sounds else None
        for name in ("loudness", "snr", "bandwidth")
    }
    return {"measured": len(sounds), **medians, "f0_low": low, "f0_median": median, "f0_high": high}


def _rate(results: Sequence[Measured]) -> float | None:
    rates = [
        result.phonemes / result.sound.speech_seconds
        for result in results
        if result.sound is not None and result.phonemes is not None and result.sound.speech_seconds > 0
    ]
    return round(float(np.median(rates)), 2) if rates else None
