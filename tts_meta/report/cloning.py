"""The benchmarks' results in one folder: `scores.jsonl`, `table.md`, a page to listen to, and the cost of voices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tts_meta.config import MelConfig
from tts_meta.evaluate.few_shot import Cell
from tts_meta.evaluate.scores import columns
from tts_meta.evaluate.table import markdown_table, summarise, write_scores
from tts_meta.evaluate.voice import Spoken
from tts_meta.files import atomic_file
from tts_meta.report.page import Clip, ListeningPage

_SHOWN = 2
"""Sentences of each speaker on the page."""


def write_cloning_report(folder: Path, spoken: Sequence[Spoken], config: MelConfig, title: str) -> str:
    """Write the scores, the tables and the page; return the table by system, in Markdown."""
    rows = [clip.scores for clip in spoken]
    by_system = markdown_table(summarise(rows))
    by_speaker = markdown_table(summarise(rows, by=("system", "speaker")), "System / speaker")
    by_sentence = markdown_table(summarise(rows, by=("system", "id")), "System / sentence")
    write_scores(folder / "scores.jsonl", rows)
    with atomic_file(folder / "table.md") as temporary:
        temporary.write_text(f"{by_system}\n{by_speaker}\n{by_sentence}", encoding="utf-8")
    page = ListeningPage(
        title, "Sentences that no voice was adapted on. Means with 95 % intervals over speakers.", config
    )
    shown = [column for column in columns().values() if any(column.name in row.measures for row in rows)]
    overview = page.section("Scores")
    overview.table(
        ("System", *(column.heading for column in shown)),
        [(" / ".join(s.group), *(_mean(s.intervals.get(column.name)) for column in shown)) for s in summarise(rows)],
        digits=[0, *(column.digits for column in shown)],
    )
    for speaker in dict.fromkeys(clip.utterance.speaker for clip in spoken):
        section = page.section(f"Speaker {speaker}")
        mine = [clip for clip in spoken if clip.utterance.speaker == speaker]
        for identifier in list(dict.fromkeys(clip.utterance.id for clip in mine))[:_SHOWN]:
            said = [clip for clip in mine if clip.utterance.id == identifier]
            clips = [
                Clip(
                    clip.system,
                    samples=clip.samples,
                    rate=clip.rate,
                    scores={
                        c.heading: round(clip.scores[c.name], c.digits) for c in shown if c.name in clip.scores.measures
                    },
                )
                for clip in said
            ]
            section.row(said[0].utterance.text, clips)
    page.write(folder / "index.html")
    return by_system


def write_few_shot_report(folder: Path, cells: Sequence[Cell], spoken: Sequence[Spoken], config: MelConfig) -> str:
    """Write what `write_cloning_report` does, and each cell's cost; return the tables of scores and costs, Markdown."""
    scores = write_cloning_report(folder, spoken, config, "From few sentences")
    facts = ("learner", "speaker", "sentences", "steps", "parameters", "bytes", "seconds")
    with atomic_file(folder / "cells.jsonl") as temporary:
        lines = [json.dumps({name: getattr(cell, name) for name in facts}) + "\n" for cell in cells]
        temporary.write_text("".join(lines), encoding="utf-8")
    costs = "| Voice | Parameters | KiB | Seconds to adapt |\n| --- | ---: | ---: | ---: |\n"
    for system in dict.fromkeys(cell.system for cell in cells):
        own = [cell for cell in cells if cell.system == system]
        seconds = sum(cell.seconds for cell in own) / len(own)
        costs += f"| {system} | {own[0].parameters:,} | {own[0].bytes / 1024:,.0f} | {seconds:.1f} |\n"
    return f"{scores}\n{costs}"


def _mean(interval: object) -> float | None:
    return getattr(interval, "mean", None)
