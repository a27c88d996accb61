"""Writes the results of the cloning benchmark to a folder: `scores.jsonl`, `table.md`, a listening page, and a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_meta.audio.mel import MelConfig
from tts_meta.evaluate.metric import Column
from tts_meta.evaluate.score_files import write_scores
from tts_meta.evaluate.summary import summarise, summary_table, used_columns
from tts_meta.evaluate.voice import Spoken
from tts_meta.files import atomic_file
from tts_meta.report.benchmark_logs import cloning_sounds, log_sounds
from tts_meta.report.log import TEXT
from tts_meta.report.page import Clip, ListeningPage
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog

_PAGE_SENTENCES = 2
"""Number of sentences of each speaker on the page."""
_PAGE_SPEAKERS = 100
"""Number of speakers on the page."""


def write_cloning_report(
    folder: Path, spoken: Sequence[Spoken], config: MelConfig, title: str, info: RunInfo | None = None
) -> str:
    """Write the scores, the tables, the page and the log; return the table by system, in Markdown."""
    rows = [clip.scores for clip in spoken]
    by_system = summary_table(summarise(rows))
    by_speaker = summary_table(summarise(rows, by=("system", "speaker")), "System / speaker")
    by_sentence = summary_table(summarise(rows, by=("system", "id")), "System / sentence")
    write_scores(folder / "scores.jsonl", rows)
    with atomic_file(folder / "table.md") as temporary:
        temporary.write_text(f"{by_system}\n{by_speaker}\n{by_sentence}", encoding="utf-8")
    page = ListeningPage(
        title, "Sentences that no voice was adapted on. Means with 95 % intervals over speakers.", config
    )
    shown = used_columns(rows)
    overview = page.section("Scores")
    overview.table(
        ("System", *(column.heading for column in shown)),
        [(" / ".join(s.group), *(_mean(s.intervals.get(column.name)) for column in shown)) for s in summarise(rows)],
        digits=[0, *(column.digits for column in shown)],
    )
    for speaker in list(dict.fromkeys(clip.utterance.speaker for clip in spoken))[:_PAGE_SPEAKERS]:
        section = page.section(f"Speaker {speaker}")
        speaker_clips = [clip for clip in spoken if clip.utterance.speaker == speaker]
        for identifier in list(dict.fromkeys(clip.utterance.id for clip in speaker_clips))[:_PAGE_SENTENCES]:
            sentence = [clip for clip in speaker_clips if clip.utterance.id == identifier]
            section.row(sentence[0].utterance.text, [_clip(clip, shown) for clip in sentence])
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


def _clip(spoken: Spoken, shown: Sequence[Column]) -> Clip:
    scores = spoken.scores
    rounded = {c.heading: round(scores[c.name], c.digits) for c in shown if c.name in scores.measures}
    return Clip(spoken.system, samples=spoken.samples, rate=spoken.rate, scores=rounded)


def _mean(interval: object) -> float | None:
    return getattr(interval, "mean", None)
