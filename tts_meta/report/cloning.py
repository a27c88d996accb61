"""The cloning benchmark's results in one folder: `scores.jsonl`, `table.md`, a page to listen to, and a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_meta.audio.mel import MelConfig
from tts_meta.evaluate.scores import columns
from tts_meta.evaluate.table import markdown_table, summarise, write_scores
from tts_meta.evaluate.voice import Spoken
from tts_meta.files import atomic_file
from tts_meta.report.benchmark_logs import cloning_sounds, log_sounds
from tts_meta.report.log import TEXT
from tts_meta.report.page import Clip, ListeningPage
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog

_SHOWN = 2
"""Sentences of each speaker on the page."""


def write_cloning_report(
    folder: Path, spoken: Sequence[Spoken], config: MelConfig, title: str, info: RunInfo | None = None
) -> str:
    """Write the scores, the tables, the page and the log; return the table by system, in Markdown."""
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
    with TensorBoardLog(folder / "logs", config, replace=True) as log:
        if info is not None:
            info.log(log)
        log.text(f"{TEXT}/tables", f"{by_system}\n{by_speaker}", 0)
        for summary in summarise(rows):
            for name, interval in summary.intervals.items():
                log.scalar(f"{name}/{summary.group[0]}", interval.mean, 0)
        log_sounds(log, cloning_sounds(spoken), config)
    return by_system


def _mean(interval: object) -> float | None:
    return getattr(interval, "mean", None)
