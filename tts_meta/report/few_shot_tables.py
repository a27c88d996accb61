"""The few-shot benchmark's tables, for each number of sentences: scores and costs, and what steps and learners change.

A learner's best step, in one score and from so many sentences, is that of the best mean over all speakers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.trials import Trial, counted
from tts_meta.evaluate.metric import Column
from tts_meta.evaluate.scores import Scores, columns
from tts_meta.evaluate.table import compare, summarise
from tts_meta.evaluate.voice import COPY, REAL

_LATE = 10
"""Steps are many from this part of the most."""
_ERROR_RATE = Column("eer", "EER", 3, "lower")
"""Of a system, not of a sentence."""


def shown_columns(rows: Sequence[Scores]) -> list[Column]:
    """The columns that some sentence has a score in, in their order."""
    return [column for column in columns().values() if any(column.name in row.measures for row in rows)]


def few_shot_tables(trials: Sequence[Trial], rows: Sequence[Scores], rates: Mapping[str, Interval]) -> str:
    """Everything as Markdown. rows: of recordings, copies and cells. rates: each system's equal error rate, if any."""
    said, speakers = len({(row.speaker, row.id) for row in rows}), len({row.speaker for row in rows})
    tables = _Tables(trials, rows, rates)
    parts = [
        f"{counted(said, 'unseen sentence')} of {counted(speakers, 'speaker')}; means with 95 % intervals over both.\n"
    ]
    for count in sorted({trial.sentences for trial in trials}):
        parts += [f"### From {counted(count, 'sentence')}\n", tables.scores(count)]
        parts += [table for table in (tables.steps(count), tables.learners(count)) if table]
    return "\n".join([*parts, *source_notes(trials)])


_MARKS = {"cache": "†", "cached_results": "‡"}
_NOTES = {
    "cache": "read from the cache folder, where an earlier run of the same versions of methods and judges left it",
    "cached_results": "read from the file `cached_results`, written by another run of the same code versions",
}


def source_marks(trials: Sequence[Trial]) -> str:
    """What follows the name of a row of these cells: a space and a mark for each source but this run."""
    marks = "".join(mark for source, mark in _MARKS.items() if any(trial.source == source for trial in trials))
    return f" {marks}" if marks else ""


def source_notes(trials: Sequence[Trial]) -> list[str]:
    """A line for each mark: what it means, and of how many cells it is true."""
    counts = {source: sum(trial.source == source for trial in trials) for source in _MARKS}
    return [
        f"{_MARKS[source]} {_NOTES[source]} ({count} of {len(trials)} cells); not computed in this run.\n"
        for source, count in counts.items()
        if count
    ]


class _Tables:
    """Means of every system, and differences between cells on the same sentences."""

    def __init__(self, trials: Sequence[Trial], rows: Sequence[Scores], rates: Mapping[str, Interval]) -> None:
        self.rows, self.rates, self.columns = rows, rates, shown_columns(rows)
        self.titles = [column.title for column in self.columns]
        self.means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
        self.first = trials[0].learner
        self.groups: dict[tuple[str, int], dict[int | None, list[Trial]]] = {}
        """Of each learner and count: the speakers' cells by steps."""
        order = list(dict.fromkeys(trial.learner for trial in trials))
        for trial in sorted(trials, key=lambda trial: (order.index(trial.learner), trial.place)):
            self.groups.setdefault((trial.learner, trial.sentences), {}).setdefault(trial.steps, []).append(trial)

    def scores(self, count: int) -> str:
        """Scores and costs of every system from so many sentences, below those of recordings and copies."""
        rated = [_ERROR_RATE.title] if self.rates else []
        heads = [*self.titles, *rated, "Parameters", "KiB", "CPU seconds"]
        lines = [[system, *self._means(system), "", "", ""] for system in (REAL, COPY)]
        for learner, own in self._of(count):
            for trials in own.values():
                seconds = sum(trial.cpu_seconds for trial in trials) / len(trials)
                costs = [f"{trials[0].parameters:,}", f"{trials[0].bytes / 1024:,.0f}", f"{seconds:.1f}"]
                label = f"{_label(learner, trials[0], own)}{source_marks(trials)}"
                lines.append([label, *self._means(trials[0].system), *costs])
        return _markdown(["System", *heads], lines)

    def steps(self, count: int) -> str:
        """Late steps less the best one, by learner; empty where no learner has two."""
        lines = []
        for learner, own in self._of(count):
            most = max((steps for steps in own if steps is not None), default=0)
            bests = [(column, self._best(own, column)) for column in self.columns]
            for steps, trials in own.items():
                if len(own) > 1 and (steps is None or steps * _LATE >= most):
                    changes = [self._change(column, trials[0].system, best) for column, best in bests]
                    lines.append([_label(learner, trials[0], own), *changes])
        title = "After many steps, less after the best number of them"
        return _markdown([title, *self.titles], lines) if lines else ""

    def learners(self, count: int) -> str:
        """Each learner's best step less that of the first learner; empty where there is no other, or not the first."""
        groups = dict(self._of(count))
        first = groups.pop(self.first, None)
        if first is None or not groups:
            return ""
        lines = [
            [learner, *(self._change(c, self._best(own, c), self._best(first, c)) for c in self.columns)]
            for learner, own in groups.items()
        ]
        return _markdown([f"Best step, less the best of {self.first}", *self.titles], lines)

    def _of(self, count: int) -> list[tuple[str, dict[int | None, list[Trial]]]]:
        return [(learner, own) for (learner, sentences), own in self.groups.items() if sentences == count]

    def _means(self, system: str) -> list[str]:
        own = self.means[system]
        shown = [own[column.name].shown(column.digits) if column.name in own else "" for column in self.columns]
        return shown + ([self.rates[system].shown(_ERROR_RATE.digits)] if self.rates else [])

    def _best(self, own: Mapping[int | None, list[Trial]], column: Column) -> str:
        """The system of the step with the best mean; of equal ones the first."""
        sign = 1 if column.better == "lower" else -1
        systems = [trials[0].system for trials in own.values()]
        return min(systems, key=lambda system: sign * self.means[system][column.name].mean)

    def _change(self, column: Column, system: str, baseline: str) -> str:
        if system == baseline:
            return "0"
        return compare(self.rows, column.name, system, baseline).shown(column.digits, signed=True)


def _label(learner: str, trial: Trial, own: Mapping[int | None, list[Trial]]) -> str:
    """A learner's cell beside its others; one that takes no steps at all goes by its name."""
    if list(own) == [0]:
        return learner
    return f"{learner}, {trial.ended}"


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return "".join(f"| {' | '.join(trial.replace('|', '&#124;') for trial in row)} |\n" for row in rows)
