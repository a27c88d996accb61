"""Tables and figure of the similarity forecast: predicted similarity by seconds of speech, and its reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tts_meta.adapt import SimilarityForecast
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.forecast import LEVELS
from tts_meta.evaluate.scores import columns
from tts_meta.evaluate.summary import markdown_rows
from tts_meta.report.figures import Panel, draw_curves, write_png

Reliability = Mapping[str, Mapping[str, Sequence[float]]]
"""By score and group of speakers, the fraction of voices in the predicted range at each level."""


def forecast_table(forecast: SimilarityForecast) -> str:
    """Predicted scores with their ranges for several lengths of speech, Markdown."""
    lengths = (forecast.min_seconds, *(5.0 * 2**n for n in range(8)), forecast.max_seconds)
    rows = [
        [
            f"{seconds:.0f}",
            *(Interval(one.mean, one.low, one.high, 1).shown(3) for one in forecast.predict(seconds).values()),
        ]
        for seconds in lengths
        if forecast.min_seconds <= seconds <= forecast.max_seconds
    ]
    return markdown_rows(["Seconds of speech", *(_heading(name) for name in forecast.fits)], rows)


def reliability_table(fractions: Reliability) -> str:
    """The fraction of voices in the predicted range at each level, Markdown."""
    headings = [f"{_heading(name)}, {group}" for name, groups in fractions.items() for group in groups]
    rows = [
        [f"{level:.0%}", *(f"{groups[group][index]:.0%}" for groups in fractions.values() for group in groups)]
        for index, level in enumerate(LEVELS)
    ]
    return markdown_rows(["Level of the range", *headings], rows)


def write_reliability_figure(path: Path, fractions: Reliability) -> None:
    """Write a PNG with the observed fraction against the level, one panel per score."""
    panels = [
        Panel(
            _heading(name),
            "predicted",
            "observed",
            {"ideal": _points(LEVELS)} | {group: _points(values) for group, values in groups.items()},
            {},
        )
        for name, groups in fractions.items()
    ]
    write_png(path, draw_curves(panels, columns=len(panels), logarithmic=False))


def _heading(name: str) -> str:
    return columns()[name].heading


def _points(fractions: Sequence[float]) -> list[tuple[float, Interval]]:
    return [(level, Interval(value, value, value, 1)) for level, value in zip(LEVELS, fractions, strict=True)]
