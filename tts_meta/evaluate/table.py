"""From scores to the table a reader sees: means with intervals, Markdown, and one JSON line an utterance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.confidence import Interval, mean_interval, paired_difference
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.scores import Scores, columns
from tts_meta.files import atomic_file

Line = TypeVar("Line")


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
    """Return means and 95 % intervals by system (or by other fields), groups in order of appearance.

    Rates are weighted: the word error rate of a group is its edits over its words.
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
        having = [row for row in rows if name in row.measures]
        measures = [row.measures[name] for row in having]
        intervals[name] = mean_interval(
            [measure.value for measure in measures],
            [row.speaker for row in having],
            [measure.weight for measure in measures],
            seed=seed,
        )
    return intervals


def compare(scores: Iterable[Scores], name: str, system: str, baseline: str, seed: int = 0) -> Interval:
    """Return the mean of `system - baseline` in score `name` over the utterances that both have, with its interval.

    Raises UsageError where they share none.
    """
    rows = {(row.system, row.speaker, row.id): row for row in scores if name in row.measures}
    pairs = [
        (row, rows[baseline, speaker, id])
        for (its, speaker, id), row in rows.items()
        if its == system and (baseline, speaker, id) in rows
    ]
    if not pairs:
        raise UsageError(f"{system} and {baseline} share no utterance with a score {name}; score the same sentences")
    return paired_difference(
        [one[name] for one, _ in pairs],
        [two[name] for _, two in pairs],
        [one.speaker for one, _ in pairs],
        [one.measures[name].weight for one, _ in pairs],
        seed=seed,
    )


def markdown_table(summaries: Sequence[Summary], title: str = "System") -> str:
    """Return a Markdown table, one line a group: each mean with its 95 % interval in brackets."""
    shown = [column for column in columns().values() if any(column.name in row.intervals for row in summaries)]
    lines = [
        [title, "Speakers", "Sentences", *(column.title for column in shown)],
        ["---", *["---:"] * (2 + len(shown))],
    ]
    for row in summaries:
        trials = [_cell(row.intervals.get(column.name), column.digits) for column in shown]
        lines.append([" / ".join(row.group), str(row.speakers), str(row.utterances), *trials])
    return "".join(f"| {' | '.join(trial.replace('|', '&#124;') for trial in line)} |\n" for line in lines)


def _cell(interval: Interval | None, digits: int) -> str:
    return "" if interval is None else interval.shown(digits)


def write_scores(path: str | Path, scores: Iterable[Scores]) -> None:
    """Write one JSON line an utterance: id, speaker, system, scores, weights other than 1, notes."""
    write_lines(path, map(scores_record, scores))


def write_lines(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON line a record. Raises ValueError for a number that is not finite."""
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def scores_record(row: Scores) -> dict[str, Any]:
    """The utterance as an object of JSON."""
    record: dict[str, Any] = {"id": row.id, "speaker": row.speaker, "system": row.system}
    record["scores"] = {name: measure.value for name, measure in row.measures.items()}
    weights = {name: measure.weight for name, measure in row.measures.items() if measure.weight != 1}
    return record | {key: value for key, value in (("weights", weights), ("notes", dict(row.notes))) if value}


def scores_of(record: Mapping[str, Any]) -> Scores:
    """The utterance that `scores_record` put so. Raises KeyError, TypeError or AttributeError for anything else."""
    weights = record.get("weights", {})
    measures = {name: Measure(value, weights.get(name, 1.0)) for name, value in record["scores"].items()}
    return Scores(record["id"], record["speaker"], record["system"], measures, record.get("notes", {}))


def read_scores(path: str | Path) -> list[Scores]:
    """Read what `write_scores` wrote. Raises TtsMetaError naming the file and line."""
    return read_lines(path, scores_of, "the scores", "line of scores; write them with write_scores")


def read_lines(path: str | Path, parse: Callable[[Any], Line], what: str, one: str) -> list[Line]:
    """Read what `write_lines` wrote, each record parsed.

    what, one: how an error calls all of it and a line of it. Raises TtsMetaError naming the file and line.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TtsMetaError(f"cannot read {what} in {path}: {getattr(error, 'strerror', None) or error}") from error
    rows: list[Line] = []
    # Not splitlines(): it also cuts at U+2028 and its like, which may stand inside a JSON string.
    for number, line in enumerate(content.removesuffix("\n").split("\n") if content else (), 1):
        try:
            rows.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TtsMetaError(f"{path}, line {number} is no {one}") from error
    return rows
