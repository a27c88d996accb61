"""The few-shot benchmark's results in one folder: scores, tables, curves, a page to listen to, and TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch

from tts_meta.config import MelConfig
from tts_meta.evaluate.cells import Cell
from tts_meta.evaluate.few_shot import FewShotResults
from tts_meta.evaluate.intervals import Interval
from tts_meta.evaluate.measured import write_cells
from tts_meta.evaluate.metric import Column
from tts_meta.evaluate.scores import Scores, columns
from tts_meta.evaluate.table import compare, markdown_table, summarise, write_scores
from tts_meta.evaluate.voice import REAL
from tts_meta.files import atomic_file
from tts_meta.report.curves import Panel, curves_picture
from tts_meta.report.page import Clip, ListeningPage
from tts_meta.report.pictures import write_png
from tts_meta.report.tensorboard import RunLog

_SHOWN = 2
"""Sentences of each speaker on the page."""
_LATE = 10
"""Steps are many from this part of the most."""
_ERROR_RATE = Column("eer", "EER", 3, "lower")
"""Of a system, not of a sentence."""


def write_few_shot_report(folder: Path, results: FewShotResults, config: MelConfig) -> str:
    """Write everything and return the tables, Markdown: scores, costs, and what more steps and other learners change.

    A learner's best step, in one score and from so many sentences, is that of the best mean over all speakers.
    """
    rows, cells, rates = results.scores(), results.cells, results.error_rates()
    write_scores(folder / "scores.jsonl", rows)
    write_cells(folder / "cells.jsonl", cells)
    compared = _Compared(cells, rows)
    tables = [markdown_table(summarise(rows)), _costs(cells, rates), compared.steps_table(), compared.learners_table()]
    text = "\n".join(table for table in tables if table)
    with atomic_file(folder / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    counts = len({cell.sentences for cell in cells})
    picture = curves_picture(_panels(cells, rows), columns=counts if counts > 1 else 3)
    write_png(folder / "curves.png", picture)
    page = ListeningPage(
        "From few sentences", "Sentences that no voice was adapted on. Means with 95 % intervals over speakers.", config
    )
    overview = page.section("Scores over inner steps")
    overview.picture(picture, "Curves of each score over inner steps, one a learner, a column for each many sentences")
    shown = _shown_columns(rows)
    overview.table(
        ("System", *(column.heading for column in shown)),
        [(s.group[0], *(_mean(s.intervals.get(column.name)) for column in shown)) for s in summarise(rows)],
        digits=[0, *(column.digits for column in shown)],
    )
    for speaker in results.voices:
        section = page.section(f"Speaker {speaker}", "Each learner after the most steps, from the most sentences.")
        for number, (heading, clips) in enumerate(_clips(results, speaker, shown)):
            section.row(heading, clips, note="" if number else "The recording stands first.")
    page.write(folder / "index.html")
    _log(folder / "logs", results, rows, shown, config)
    return text


def _shown_columns(rows: Sequence[Scores]) -> list[Column]:
    return [column for column in columns().values() if any(column.name in row.measures for row in rows)]


def _costs(cells: Sequence[Cell], rates: dict[str, Interval]) -> str:
    """What each voice costs, and how often a judge of voices errs who hears it; Markdown."""
    head = ["Voice", "Parameters", "KiB", "Seconds to adapt", *(["EER ↓"] if rates else [])]
    lines = [f"| {' | '.join(head)} |\n| --- |{' ---: |' * (len(head) - 1)}\n"]
    systems = dict.fromkeys(cell.system for cell in cells)
    for system in [name for name in rates if name not in systems] + list(systems):
        own = [cell for cell in cells if cell.system == system]
        numbers = ["", "", ""]
        if own:
            seconds = sum(cell.seconds for cell in own) / len(own)
            numbers = [f"{own[0].parameters:,}", f"{own[0].bytes / 1024:,.0f}", f"{seconds:.1f}"]
        if rates:
            numbers.append(_show(rates[system], _ERROR_RATE))
        lines.append(f"| {system} | {' | '.join(numbers)} |\n")
    return "".join(lines)


class _Compared:
    """Differences between cells on the same sentences, with intervals."""

    def __init__(self, cells: Sequence[Cell], rows: Sequence[Scores]) -> None:
        self.rows, self.columns = rows, _shown_columns(rows)
        means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
        self.steps: dict[tuple[str, int], list[int | None]] = {}
        self.systems: dict[tuple[str, int, int | None], str] = {}
        for cell in sorted(cells, key=lambda cell: cell.place):
            self.systems[cell.learner, cell.sentences, cell.steps] = cell.system
            own = self.steps.setdefault((cell.learner, cell.sentences), [])
            own += [] if cell.steps in own else [cell.steps]
        self.means = means
        order = list(dict.fromkeys((cell.learner, cell.sentences) for cell in cells))
        self.groups = sorted(order, key=lambda group: (group[1], order.index(group)))

    def best(self, learner: str, sentences: int, column: Column) -> str:
        """The system of the step with the best mean; of equal ones the first."""
        sign = 1 if column.better == "lower" else -1
        systems = [self.systems[learner, sentences, steps] for steps in self.steps[learner, sentences]]
        return min(systems, key=lambda system: sign * self.means[system][column.name].mean)

    def steps_table(self) -> str:
        """Late steps less the best one, by learner; empty where no learner has two."""
        lines = []
        for learner, sentences in (group for group in self.groups if len(self.steps[group]) > 1):
            own = self.steps[learner, sentences]
            most = max(steps for steps in own if steps is not None)
            bests = [(column, self.best(learner, sentences, column)) for column in self.columns]
            for steps in own:
                if steps is None or steps * _LATE >= most:
                    system = self.systems[learner, sentences, steps]
                    lines.append([system, *(self._change(column, system, best) for column, best in bests)])
        return self._table("After many steps, less after the best number of them", lines)

    def learners_table(self) -> str:
        """Each learner's best step less that of the first learner, from as many sentences; empty for one learner."""
        first = self.groups[0][0]
        lines = []
        for learner, sentences in self.groups:
            if learner != first and (first, sentences) in self.steps:
                changes = [
                    self._change(column, self.best(learner, sentences, column), self.best(first, sentences, column))
                    for column in self.columns
                ]
                lines.append([f"{learner}, {sentences} sentences", *changes])
        return self._table(f"Best step, less the best of {first}", lines)

    def _change(self, column: Column, system: str, baseline: str) -> str:
        if system == baseline:
            return "0"
        return _show(compare(self.rows, column.name, system, baseline), column, signed=True)

    def _table(self, title: str, lines: Sequence[Sequence[str]]) -> str:
        if not lines:
            return ""
        heads = [title, *(f"{column.heading} {'↑' if column.better == 'higher' else '↓'}" for column in self.columns)]
        rows = [heads, ["---", *["---:"] * len(self.columns)], *lines]
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _show(interval: Interval, column: Column, signed: bool = False) -> str:
    form = f"{'+' if signed else ''}.{column.digits}f"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _panels(cells: Sequence[Cell], rows: Sequence[Scores]) -> list[Panel]:
    """A row of panels a score, a column for each many sentences: curves over steps, a level where they settle."""
    means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
    systems = {(cell.learner, cell.sentences, cell.steps): cell.system for cell in cells}
    panels = []
    for column in _shown_columns(rows):
        for sentences in sorted({cell.sentences for cell in cells}):
            curves = {
                learner: sorted(
                    (float(steps), means[system][column.name])
                    for (its, count, steps), system in systems.items()
                    if (its, count) == (learner, sentences) and steps is not None
                )
                for learner in dict.fromkeys(cell.learner for cell in cells)
            }
            settled = {
                f"{learner}, settled": system
                for (learner, count, steps), system in systems.items()
                if count == sentences and steps is None
            }
            its_levels = {REAL: REAL} | settled
            levels = {
                name: means[system][column.name].mean
                for name, system in its_levels.items()
                if column.name in means[system]
            }
            panels.append(Panel(f"{sentences} sentences", "inner steps", column.heading, curves, levels))
    return panels


def _clips(results: FewShotResults, speaker: str, shown: Sequence[Column]) -> list[tuple[str, list[Clip]]]:
    """Sentences, and who says them."""
    real = [one for one in results.spoken if one.utterance.speaker == speaker and one.system == REAL]
    cells = {cell.learner: cell for cell in _last(results.cells, speaker)}
    found = []
    for number, one in enumerate(real[:_SHOWN]):
        clips = [Clip(REAL, samples=one.samples, rate=one.rate, scores=_figures(one.scores, shown))]
        clips += [
            Clip(cell.system, file=cell.sound(number), scores=_figures(cell.scores[number], shown))
            for cell in cells.values()
        ]
        found.append((one.utterance.text, clips))
    return found


def _last(cells: Sequence[Cell], speaker: str) -> list[Cell]:
    """Of one speaker and to be heard, ordered so that those from the most sentences after the most steps come last."""
    return sorted((c for c in cells if c.speaker == speaker and c.here), key=lambda cell: (cell.sentences, cell.place))


def _figures(scores: Scores, shown: Sequence[Column]) -> dict[str, float]:
    return {c.heading: round(scores[c.name], c.digits) for c in shown if c.name in scores.measures}


def _log(
    folder: Path, results: FewShotResults, rows: Sequence[Scores], shown: Sequence[Column], config: MelConfig
) -> None:
    """Scores over steps, a tag for each learner and count of sentences, and the sounds of the page."""
    means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
    with RunLog(folder, config) as log:
        for cell in {cell.system: cell for cell in results.cells}.values():
            for column in shown:
                if column.name in means[cell.system]:
                    tag = f"{column.name}/{cell.learner}, {cell.sentences} sentences"
                    log.scalar(tag, means[cell.system][column.name].mean, cell.done)
        for speaker in results.voices:
            for cell in {cell.learner: cell for cell in _last(results.cells, speaker)}.values():
                samples, rate = soundfile.read(cell.sound(0), dtype="float32")
                log.audio(f"{speaker}/{cell.learner}", torch.from_numpy(samples), rate, cell.done)


def _mean(interval: Interval | None) -> float | None:
    return None if interval is None else interval.mean
