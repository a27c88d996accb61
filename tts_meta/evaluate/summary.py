"""Means of scores with confidence intervals, paired differences, and their Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval, mean_interval, paired_difference
from tts_meta.evaluate.metric import Column
from tts_meta.evaluate.scores import Scores, columns


@dataclass(frozen=True)
class Summary:
    """The means over one group of utterances."""

    group: tuple[str, ...]
    utterances: int
    speakers: int
    intervals: dict[str, Interval]


def summarise(
    scores: Iterable[Scores], by: Sequence[Literal["system", "speaker", "id"]] = ("system",), seed: int = 0
) -> list[Summary]:
    """Return means and 95 % intervals by system, or by other fields. Groups are in order of appearance.

    Rates are weighted: the word error rate of a group is its number of edits divided by its number of words.
    """
    groups: dict[tuple[str, ...], list[Scores]] = {}
    for row in scores:
        groups.setdefault(tuple(getattr(row, key) for key in by), []).append(row)
    return [
        Summary(group, len(rows), len({row.speaker for row in rows}), _intervals(rows, seed))
        for group, rows in groups.items()
    ]


def _intervals(rows: Sequence[Scores], seed: int) -> dict[str, Interval]:
    intervals = {}
    for name in dict.fromkeys(name for row in rows for name in row.measures):
        scored = [row for row in rows if name in row.measures]
        measures = [row.measures[name] for row in scored]
        intervals[name] = mean_interval(
            [measure.value for measure in measures],
            [row.speaker for row in scored],
            [measure.weight for measure in measures],
            seed=seed,
        )
    return intervals


def compare(scores: Iterable[Scores], name: str, system: str, baseline: str, seed: int = 0) -> Interval:
    """Return the mean of `system - baseline` in score `name` over the utterances that both have, with its interval.

    Raises UsageError if the two systems have no utterance in common.
    """
    rows = {(row.system, row.speaker, row.id): row for row in scores if name in row.measures}
    pairs = [
        (row, rows[baseline, speaker, id])
        for (row_system, speaker, id), row in rows.items()
        if row_system == system and (baseline, speaker, id) in rows
    ]
    if not pairs:
        raise UsageError(f"{system} and {baseline} share no utterance with a score {name}; score the same sentences")
    return paired_difference(
        [row[name] for row, _ in pairs],
        [baseline_row[name] for _, baseline_row in pairs],
        [row.speaker for row, _ in pairs],
        [row.measures[name].weight for row, _ in pairs],
        seed=seed,
    )


def used_columns(rows: Iterable[Scores]) -> list[Column]:
    """Return the columns in which at least one utterance has a score, in the order of a table."""
    names = {name for row in rows for name in row.measures}
    return [column for column in columns().values() if column.name in names]


def summary_table(summaries: Sequence[Summary], title: str = "System") -> str:
    """Return a Markdown table with one line per group: each mean with its 95 % interval in brackets."""
    names = {name for summary in summaries for name in summary.intervals}
    shown = [column for column in columns().values() if column.name in names]
    lines = [
        [
            " / ".join(summary.group),
            str(summary.speakers),
            str(summary.utterances),
            *(_cell(summary.intervals.get(column.name), column.digits) for column in shown),
        ]
        for summary in summaries
    ]
    return markdown_rows([title, "Speakers", "Sentences", *(column.title for column in shown)], lines)


def markdown_rows(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; every column but the first is right-aligned."""
    rows = [headings, ["---", *["---:"] * (len(headings) - 1)], *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in rows)


def _cell(interval: Interval | None, digits: int) -> str:
    return "" if interval is None else interval.shown(digits)
