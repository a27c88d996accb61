"""`find_suspicious`: which recordings of a corpus look wrong, each with its reasons, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tts_meta.audio.quality import LONG_PAUSE, MAX_HUM_DB, MIN_SNR_DB
from tts_meta.report.corpus.lines import CorpusLines
from tts_meta.report.corpus.measure import Measured, Sound
from tts_meta.report.corpus.rates import MAX_Z, Rates, measure_rates, repeated_text_outliers

Kind = Literal["unusable", "rate", "text", "repeated text", "clipping", "level", "noise", "hum", "bandwidth", "silence"]

_MIN_LOUDNESS_DB = -45.0
"""Speech below this level is a fault, dB of full scale."""
_MIN_BANDWIDTH = 5500.0
"""Hz. A recording with a lower bandwidth and without high frequencies has a narrow band."""
_MAX_END_SILENCE = 3.0
"""Seconds of silence at both ends together."""
_MIN_SECONDS = 1.0
"""The noise of a shorter recording is not known."""
_USUAL_CLIPPED = 0.0005


@dataclass(frozen=True)
class Finding:
    """One reason. severity: larger is worse, comparable between kinds; 1 or 2 at the limit. message: for the user."""

    kind: Kind
    severity: float
    message: str


Findings = dict[int, list[Finding]]
"""Findings by number of the line, the worst line first. The worst finding of a line is first."""


def find_suspicious(lines: CorpusLines, measured: Mapping[int, Measured]) -> Findings:
    """Judge all lines by their texts and durations, and the measured ones by their sound too.

    measured: by number of the line. Speaking rates of measured recordings are those of the speech without silence,
    in phonemes where the text front end reads the language. Other rates are letters per second of the file.
    """
    found: Findings = {}
    for line, finding in _all(lines, measured):
        found.setdefault(line, []).append(finding)
    for findings in found.values():
        findings.sort(key=lambda finding: -finding.severity)
    return dict(sorted(found.items(), key=lambda item: (-item[1][0].severity, -len(item[1]), item[0])))


def _all(lines: CorpusLines, measured: Mapping[int, Measured]) -> Iterator[tuple[int, Finding]]:
    for line, mark in lines.marks.items():
        yield line, Finding("text", 4.0, f"{mark}; write the spoken words only")
    for line, result in measured.items():
        if result.text_fault is not None:
            yield line, Finding("text", 6.0, f"the text front end cannot read the text: {result.text_fault}")
        if result.sound is None:
            yield line, Finding("unusable", 10.0, f"the recording cannot be used: {result.sound_fault}")
        else:
            yield from ((line, finding) for finding in _of_sound(result.sound, float(lines.seconds[line])))
    yield from _of_rates(lines, measured)


def _of_sound(sound: Sound, seconds: float) -> Iterator[Finding]:
    if sound.clipped > 0:
        problem = f"clipped: {100 * sound.clipped:.2f}% of the samples are stuck at the highest level"
        yield Finding("clipping", 1 + sound.clipped / _USUAL_CLIPPED, problem)
    if sound.loudness < _MIN_LOUDNESS_DB:
        severity = 1 + (_MIN_LOUDNESS_DB - sound.loudness) / 6
        yield Finding("level", severity, f"too quiet: the speech is at {sound.loudness:.0f} dB of full scale")
    if sound.snr < MIN_SNR_DB and seconds > _MIN_SECONDS:
        severity = 1 + (MIN_SNR_DB - sound.snr) / 6
        yield Finding("noise", severity, f"the noise is only {max(0.0, sound.snr):.0f} dB below the speech")
    if sound.hum is not None and sound.hum > MAX_HUM_DB:
        side = "below" if sound.hum < 0 else "above"
        message = f"mains hum, {abs(sound.hum):.0f} dB {side} the speech"
        yield Finding("hum", 1 + (sound.hum - MAX_HUM_DB) / 20, message)
    if sound.lacks_highs and sound.bandwidth < _MIN_BANDWIDTH:
        message = f"narrow band: no audio above {sound.bandwidth / 1000:.1f} kHz, as in telephone or 8 kHz recordings"
        yield Finding("bandwidth", 2.0, message)
    if sound.longest_pause > LONG_PAUSE:
        message = f"a pause of {sound.longest_pause:.1f} s inside the recording"
        yield Finding("silence", sound.longest_pause / LONG_PAUSE, message)
    if sound.end_silence > _MAX_END_SILENCE:
        message = f"{sound.end_silence:.1f} s of silence before and after the speech"
        yield Finding("silence", sound.end_silence / _MAX_END_SILENCE, message)


def _of_rates(lines: CorpusLines, measured: Mapping[int, Measured]) -> Iterator[tuple[int, Finding]]:
    file_rates = measure_rates(lines.letters, lines.seconds, lines.speaker)
    for index in file_rates.outliers().tolist():
        if index not in measured:
            yield index, _rate_finding(file_rates, index, "letters per second of the file")
    for has_phonemes, unit in ((True, "phonemes"), (False, "letters")):
        chosen = [line for line, result in measured.items() if (result.phonemes is not None) == has_phonemes]
        chosen = [line for line in chosen if measured[line].sound is not None]
        rates = speech_rates(lines, measured, chosen)
        for index in rates.outliers().tolist():
            yield chosen[index], _rate_finding(rates, index, f"{unit} per second")
    for line, ratio, count in repeated_text_outliers(file_rates, lines.letters, lines.text):
        message = (
            f"{lines.seconds[line]:.1f} s are {ratio:.2g} times as long as usual for this speaker in the {count} "
            "recordings of this text"
        )
        yield line, Finding("repeated text", 1 + float(abs(np.log(ratio))), message)


def speech_rates(lines: CorpusLines, measured: Mapping[int, Measured], chosen: list[int]) -> Rates:
    """Return the rates of chosen lines, whose sound is known, in phonemes or, if absent, letters a second of speech."""
    units, seconds = list[int](), list[float]()
    for line in chosen:
        phonemes, sound = measured[line].phonemes, measured[line].sound
        units.append(int(lines.letters[line]) if phonemes is None else phonemes)
        seconds.append(0.0 if sound is None else sound.speech_seconds)
    return measure_rates(np.array(units, np.int64), np.array(seconds), lines.speaker[np.array(chosen, np.int64)])


def _rate_finding(rates: Rates, index: int, unit: str) -> Finding:
    z, z_corpus = float(rates.z_speaker[index]), float(rates.z_corpus[index])
    problem = "the transcript may have words that are not spoken" if z > 0 else "words may be missing in the transcript"
    usual = rates.rate[index] / np.exp(rates.residual[index])
    rate = (
        f"{rates.rate[index]:.1f} {unit}, usual for the speaker {usual:.1f}; z {z:+.1f}, in the corpus {z_corpus:+.1f}"
    )
    return Finding("rate", 2 + abs(z) - MAX_Z, f"{problem} ({rate})")
