"""Makes the tables of the few-shot benchmark: scores and costs, and differences between trials.

There are tables for each number of sentences. The best step of a method, for one score and one number of sentences, is
the step with the best mean over all speakers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.trials import Trial, counted
from tts_meta.evaluate.metric import Column
from tts_meta.evaluate.scores import Scores
from tts_meta.evaluate.summary import compare, markdown_rows, summarise, used_columns
from tts_meta.evaluate.voice import COPY, REAL

_MANY = 10
"""A number of steps counts as many if it is at least the largest number of steps divided by this value."""
_ERROR_RATES = Column("eer", "EER", 3, "lower"), Column("ecapa_eer", "ECAPA EER", 3, "lower")
"""Columns of the equal error rates by both encoders. They are scores of a system and not of a sentence."""
_MARKS = {"cache": "†", "cached_results": "‡"}
_NOTES = {
    "cache": "read from the cache folder of an earlier run with the same code versions",
    "cached_results": "read from the file `cached_results` of another run with the same code versions",
}


def few_shot_tables(
    trials: Sequence[Trial],
    rows: Sequence[Scores],
    rates: Mapping[str, Interval],
    ecapa_rates: Mapping[str, Interval] | None = None,
) -> str:
    """Return all tables as Markdown.

    rows: scores of recordings, copy-synthesis and trials. rates: EER by system, if any. ecapa_rates: EER by the second
    encoder, if any.
    """
    sentences, speakers = len({(row.speaker, row.id) for row in rows}), len({row.speaker for row in rows})
    by_column = zip(_ERROR_RATES, (rates, ecapa_rates or {}), strict=True)
    tables = _Tables(trials, rows, [(column, by_system) for column, by_system in by_column if by_system])
    scored = f"{counted(sentences, 'unseen sentence')} of {counted(speakers, 'speaker')}"
    parts = [f"{scored}; means with 95 % intervals over both.\n"]
    for count in sorted({trial.sentences for trial in trials}):
        parts += [f"### From {counted(count, 'sentence')}\n", tables.scores(count)]
        parts += [table for table in (tables.steps(count), tables.methods(count)) if table]
    return "\n".join([*parts, *source_notes(trials)])


def source_marks(trials: Sequence[Trial]) -> str:
    """Return a space and one mark for each source other than this run.

    The result is empty if this run computed all trials.
    """
    marks = "".join(mark for source, mark in _MARKS.items() if any(trial.source == source for trial in trials))
    return f" {marks}" if marks else ""


def source_notes(trials: Sequence[Trial]) -> list[str]:
    """Return a line for each mark, with its meaning and the number of trials that have it."""
    counts = {source: sum(trial.source == source for trial in trials) for source in _MARKS}
    return [
        f"{_MARKS[source]} {_NOTES[source]} ({count} of {len(trials)} trials), not computed in this run.\n"
        for source, count in counts.items()
        if count
    ]


class _Tables:
    """Means of every system, and paired differences between trials on the same sentences."""

    def __init__(
        self, trials: Sequence[Trial], rows: Sequence[Scores], rates: Sequence[tuple[Column, Mapping[str, Interval]]]
    ) -> None:
        self.rows, self.rates, self.columns = rows, rates, used_columns(rows)
        self.titles = [column.title for column in self.columns]
        self.means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
        self.first = trials[0].learner
        self.groups: dict[tuple[str, int], dict[int | None, list[Trial]]] = {}
        """The trials of all speakers by steps, for each method and number of sentences."""
        order = list(dict.fromkeys(trial.learner for trial in trials))
        for trial in sorted(trials, key=lambda trial: (order.index(trial.learner), trial.steps_order)):
            self.groups.setdefault((trial.learner, trial.sentences), {}).setdefault(trial.steps, []).append(trial)

    def scores(self, count: int) -> str:
        """Return the table of scores and costs of every system from `count` sentences.

        The recordings and their copy-synthesis come first.
        """
        headings = [*self.titles, *(column.title for column, _ in self.rates), "Parameters", "KiB", "CPU seconds"]
        lines = [[system, *self._means(system), "", "", ""] for system in (REAL, COPY) if system in self.means]
        for learner, by_steps in self._groups(count):
            for trials in by_steps.values():
                seconds = sum(trial.cpu_seconds for trial in trials) / len(trials)
                costs = [f"{trials[0].parameters:,}", f"{trials[0].bytes / 1024:,.0f}", f"{seconds:.1f}"]
                label = f"{_label(learner, trials[0], by_steps)}{source_marks(trials)}"
                lines.append([label, *self._means(trials[0].system), *costs])
        return markdown_rows(["System", *headings], lines)

    def steps(self, count: int) -> str:
        """Return the table of many steps minus the best step of the same method.

        The result is empty if no method has two numbers of steps.
        """
        lines = []
        for learner, by_steps in self._groups(count):
            most = max((steps for steps in by_steps if steps is not None), default=0)
            best = [(column, self._best(by_steps, column)) for column in self.columns]
            for steps, trials in by_steps.items():
                if len(by_steps) > 1 and (steps is None or steps * _MANY >= most):
                    changes = [self._difference(column, trials[0].system, system) for column, system in best]
                    lines.append([_label(learner, trials[0], by_steps), *changes])
        return markdown_rows(["Many steps minus the best step", *self.titles], lines) if lines else ""

    def methods(self, count: int) -> str:
        """Return the table of the best step of each method minus the best step of the first method.

        The result is empty if the first method or any other method is missing.
        """
        groups = dict(self._groups(count))
        first = groups.pop(self.first, None)
        if first is None or not groups:
            return ""
        lines = [
            [learner, *(self._difference(c, self._best(by_steps, c), self._best(first, c)) for c in self.columns)]
            for learner, by_steps in groups.items()
        ]
        return markdown_rows([f"Best step minus the best step of {self.first}", *self.titles], lines)

    def _groups(self, count: int) -> list[tuple[str, dict[int | None, list[Trial]]]]:
        return [(learner, by_steps) for (learner, sentences), by_steps in self.groups.items() if sentences == count]

    def _means(self, system: str) -> list[str]:
        means = self.means[system]
        cells = [means[column.name].shown(column.digits) if column.name in means else "" for column in self.columns]
        rates = [rates[system].shown(column.digits) if system in rates else "" for column, rates in self.rates]
        return [*cells, *rates]

    def _best(self, by_steps: Mapping[int | None, list[Trial]], column: Column) -> str:
        """Return the system whose number of steps has the best mean; the first of equal ones."""
        sign = 1 if column.better == "lower" else -1
        systems = [trials[0].system for trials in by_steps.values()]
        return min(systems, key=lambda system: sign * self.means[system][column.name].mean)

    def _difference(self, column: Column, system: str, baseline: str) -> str:
        if system == baseline:
            return "0"
        return compare(self.rows, column.name, system, baseline).shown(column.digits, signed=True)


def _label(learner: str, trial: Trial, by_steps: Mapping[int | None, list[Trial]]) -> str:
    """Return the method with its number of steps, or the method alone if it takes no steps."""
    return learner if list(by_steps) == [0] else f"{learner}, {trial.steps_label}"
