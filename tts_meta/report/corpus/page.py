"""Writes the page of a corpus report: numbers, figures, and players of the suspicious recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tts_meta.corpus import Utterance
from tts_meta.report.corpus.findings import Finding
from tts_meta.report.corpus.lines import CorpusLines
from tts_meta.report.corpus.measure import Measured
from tts_meta.report.corpus.summary import AttributeRow, Measure
from tts_meta.report.histogram import draw_histogram
from tts_meta.report.page import Clip, ListeningPage, Section

_MAX_PLAYERS = 100
_MAX_SPEAKERS = 300
_MAX_VALUES = 50
_MAX_TEXT = 600
_MIN_DRAWN = 2
_SPEAKER_COLUMNS = (
    ("speaker", "Speaker", 0),
    ("hours", "Hours", 3),
    ("utterances", "Utterances", 0),
    ("gender", "Gender", 0),
    ("accent", "Accent", 0),
    ("language", "Language", 0),
    ("split", "Split", 0),
    ("measured", "Measured", 0),
    ("loudness", "Loudness (dB)", 1),
    ("snr", "SNR (dB)", 1),
    ("bandwidth", "Bandwidth (Hz)", 0),
    ("f0_median", "F0 median (Hz)", 0),
    ("f0_low", "F0 5 % (Hz)", 0),
    ("f0_high", "F0 95 % (Hz)", 0),
    ("phonemes_per_second", "Phonemes/s", 1),
)
"""Key in `report.json`, heading and decimals. A column without any value is left out."""


@dataclass(frozen=True)
class SuspiciousRecording:
    """A recording with the reasons for suspicion, the worst first, and its measures, if it was measured."""

    utterance: Utterance
    findings: Sequence[Finding]
    measured: Measured | None


@dataclass(frozen=True)
class CorpusPage:
    """All numbers of a report. kinds: suspicious recordings by the kind of their worst reason."""

    manifest: Path
    lines: CorpusLines
    measures: Sequence[Measure]
    speakers: Sequence[dict[str, Any]]
    attributes: Mapping[str, Sequence[AttributeRow]]
    dropped: Sequence[tuple[str, int, str]]
    suspicious: Sequence[SuspiciousRecording]
    kinds: Counter[str]
    measured: int
    seed: int


def write_page(content: CorpusPage, path: Path) -> Path:
    """Write the page, which refers to the recordings by relative paths, and return its path."""
    lines = content.lines
    hours = float(lines.seconds.sum()) / 3600
    intro = (
        f"{len(lines):,} utterances of {len(lines.speakers):,} speakers, {hours:,.2f} hours. "
        f"{content.kinds.total():,} recordings are suspicious. {_sample_note(content)}\n\n"
        "The recordings are not copied: the players refer to them by their paths relative to this page. If you move "
        "the page without the recordings, all numbers remain and the players are silent."
    )
    page = ListeningPage(f"Corpus report: {path.resolve().parent.name}", intro)
    stated = {name: rows for name, rows in content.attributes.items() if any(row[0] is not None for row in rows)}
    unstated = ", ".join(name for name in content.attributes if name not in stated)
    section = page.section("Overview", f"The corpus does not state: {unstated}." if unstated else "")
    _add_overview(section, stated)
    _add_suspicious(page, content)
    _add_measures(page, content)
    _add_speakers(page, content)
    if content.dropped:
        section = page.section(
            "Recordings not used", "These recordings are not in the manifest. dropped.jsonl lists each one."
        )
        section.table(["Reason", "Recordings", "One of them"], content.dropped, "Recordings by reason")
    return page.write(path)


def _sample_note(content: CorpusPage) -> str:
    total = len(content.lines)
    if content.measured == total:
        return "The sound of every recording was measured."
    return (
        f"The sound was measured in a random sample of {content.measured:,} of {total:,} recordings, spread evenly "
        f"over the speakers (seed {content.seed}). Texts and lengths were checked in all recordings. --html-sample "
        "sets the size of the sample."
    )


def _add_overview(section: Section, attributes: Mapping[str, Sequence[AttributeRow]]) -> None:
    for name, rows in attributes.items():
        shown = [(value or "not stated", *counts) for value, *counts in rows[:_MAX_VALUES]]
        caption = f"Hours by {name}" + (f", the first {_MAX_VALUES} of {len(rows)}" if len(rows) > len(shown) else "")
        section.table([name.capitalize(), "Speakers", "Utterances", "Hours"], shown, caption, digits=2)


def _add_suspicious(page: ListeningPage, content: CorpusPage) -> None:
    total, shown = content.kinds.total(), content.suspicious[:_MAX_PLAYERS]
    text = "The worst recordings are first. Each reason has its numbers." if total else "No recording is suspicious."
    if total > len(shown):
        text += f" The first {len(shown)} of {total:,} have players; report.json lists more."
    section = page.section("Suspicious recordings", text)
    if total:
        section.table(["Worst reason", "Recordings"], content.kinds.most_common(), "Suspicious recordings by reason")
    for recording in shown:
        utterance = recording.utterance
        reasons = ". ".join(finding.message[0].upper() + finding.message[1:] for finding in recording.findings)
        caption = f"Speaker {utterance.speaker}, {utterance.seconds:.1f} s"
        clip = Clip(
            utterance.id, file=utterance.source, seconds=utterance.seconds, caption=caption, scores=_scores(recording)
        )
        section.row(_shortened(utterance.text), [clip], note=f"{reasons}.")


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _scores(recording: SuspiciousRecording) -> dict[str, str]:
    sound = None if recording.measured is None else recording.measured.sound
    if sound is None:
        return {}
    return {
        "loudness (dB)": f"{sound.loudness:.1f}",
        "SNR (dB)": f"{sound.snr:.1f}",
        "bandwidth (kHz)": f"{sound.bandwidth / 1000:.1f}",
    }


def _add_measures(page: ListeningPage, content: CorpusPage) -> None:
    section = page.section(
        "Distributions",
        "Loudness is the root mean square of the speech. The signal-to-noise ratio compares it with the tenth "
        "percentile of the level over time, so it is too low for recordings without pauses. The bandwidth is the "
        "highest frequency at which the mean power spectrum is 50 dB below its peak. F0 needs the package "
        "praat-parselmouth.",
    )
    header = ["Measure", "Recordings", "Minimum", "5 %", "Median", "95 %", "Maximum"]
    section.table(header, [_row(measure) for measure in content.measures], "Distribution of each measure", digits=1)
    for measure in content.measures:
        if len(measure.values) >= _MIN_DRAWN:
            section.image(draw_histogram(measure.values, measure.label), f"Histogram of {measure.label}")
    if len(content.speakers) >= _MIN_DRAWN:
        hours = np.array([row["hours"] for row in content.speakers])
        section.image(draw_histogram(hours, "Hours of a speaker", "Speakers"), "Histogram of the hours of a speaker")


def _row(measure: Measure) -> tuple[str | float | int | None, ...]:
    return (measure.label, *measure.statistics().values())


def _add_speakers(page: ListeningPage, content: CorpusPage) -> None:
    rows = content.speakers[:_MAX_SPEAKERS]
    text = "Values of the sound are medians over the measured recordings of the speaker."
    if len(content.speakers) > len(rows):
        text += f" The {len(rows)} speakers with most speech are shown; report.json has all {len(content.speakers):,}."
    section = page.section("Speakers", text)
    columns = [column for column in _SPEAKER_COLUMNS if any(row[column[0]] is not None for row in rows)]
    cells = [tuple(row[key] for key, _, _ in columns) for row in rows]
    header, digits = [label for _, label, _ in columns], [number for _, _, number in columns]
    section.table(header, cells, "Speakers, by hours", digits=digits)
