"""Writes the results of the few-shot benchmark to a folder: scores, tables, curves, listening page, TensorBoard log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_meta.audio.mel import MelConfig
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.benchmark import FewShotResults
from tts_meta.evaluate.few_shot.results_io import write_recordings, write_trials
from tts_meta.evaluate.few_shot.trials import Trial, counted
from tts_meta.evaluate.metric import Column
from tts_meta.evaluate.score_files import write_scores
from tts_meta.evaluate.scores import Scores
from tts_meta.evaluate.summary import summarise, used_columns
from tts_meta.evaluate.voice import REAL
from tts_meta.files import atomic_file
from tts_meta.report.benchmark_logs import MeanVoice, few_shot_sounds, log_sounds
from tts_meta.report.few_shot_tables import few_shot_tables, source_marks, source_notes
from tts_meta.report.figures import Panel, draw_curves, write_png
from tts_meta.report.log import FIGURE, TEXT, Log
from tts_meta.report.page import Clip, ListeningPage
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog

_PAGE_SENTENCES = 2
"""Number of sentences of each speaker on the page."""
_PAGE_SPEAKERS = 100
"""Number of speakers, or of prompts of a test list, on the page."""


def write_few_shot_report(
    folder: Path,
    results: FewShotResults,
    config: MelConfig,
    info: RunInfo | None = None,
    mean_voice: MeanVoice | None = None,
) -> str:
    """Write all files to `folder` and return the tables as Markdown.

    info, mean_voice: used only in the log.
    """
    rows, trials = results.scores(), results.trials
    write_scores(folder / "scores.jsonl", rows)
    write_trials(folder / "trials.jsonl", trials)
    write_recordings(folder / "recordings.jsonl", results.recordings())
    text = few_shot_tables(trials, rows, results.error_rates(), results.ecapa_error_rates())
    with atomic_file(folder / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    counts = len({trial.sentences for trial in trials})
    picture = draw_curves(_panels(trials, rows), columns=counts if counts > 1 else 3)
    write_png(folder / "curves.png", picture)
    page = ListeningPage(
        "Few-shot benchmark", "Sentences that no voice was adapted on. Means with 95 % intervals over speakers.", config
    )
    overview = page.section("Scores against inner steps")
    overview.image(
        picture, "Each score against inner steps: a curve for each method, a column for each number of sentences"
    )
    shown = used_columns(rows)
    overview.table(
        ("System", *(column.heading for column in shown)),
        _overview_rows(trials, rows, shown),
        " ".join(note.strip() for note in source_notes(trials)),
        digits=[0, *(column.digits for column in shown)],
    )
    for speaker in list(results.voices)[:_PAGE_SPEAKERS]:
        section = page.section(
            f"Speaker {speaker}", "Each method after its largest number of steps, from the most sentences."
        )
        for number, (heading, clips) in enumerate(_clips(results, speaker, shown)):
            section.row(heading, clips, note="The recording is first." if not number and clips[0].label == REAL else "")
    page.write(folder / "index.html")
    with TensorBoardLog(folder / "logs", config, replace=True) as log:
        if info is not None:
            info.log(log)
        log.text(f"{TEXT}/tables", text, 0)
        log.image(f"{FIGURE}/curves", picture, 0)
        _log_scores(log, results, rows, shown)
        log_sounds(log, few_shot_sounds(results, mean_voice, config.sample_rate), config)
    return text


def _overview_rows(
    trials: Sequence[Trial], rows: Sequence[Scores], shown: Sequence[Column]
) -> list[tuple[str | float | None, ...]]:
    """Return the mean of each column for each system."""
    by_system: dict[str, list[Trial]] = {}
    for trial in trials:
        by_system.setdefault(trial.system, []).append(trial)
    return [
        (
            summary.group[0] + source_marks(by_system.get(summary.group[0], ())),
            *(_mean(summary.intervals.get(column.name)) for column in shown),
        )
        for summary in summarise(rows)
    ]


def _panels(trials: Sequence[Trial], rows: Sequence[Scores]) -> list[Panel]:
    """Return the panels of the curves, with a row for each score and a column for each number of sentences.

    Each method has a curve over its steps. A method whose loop stopped automatically has a horizontal line.
    """
    means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
    systems = {(trial.learner, trial.sentences, trial.steps): trial.system for trial in trials}
    panels = []
    for column in used_columns(rows):
        for sentences in sorted({trial.sentences for trial in trials}):
            curves = {
                learner: sorted(
                    (float(steps), means[system][column.name])
                    for (name, count, steps), system in systems.items()
                    if (name, count) == (learner, sentences) and steps is not None
                )
                for learner in dict.fromkeys(trial.learner for trial in trials)
            }
            level_systems = {REAL: REAL} | {
                f"{learner}, stopped automatically": system
                for (learner, count, steps), system in systems.items()
                if count == sentences and steps is None
            }
            levels = {
                name: means[system][column.name].mean
                for name, system in level_systems.items()
                if column.name in means.get(system, {})
            }
            panels.append(Panel(counted(sentences, "sentence"), "inner steps", column.heading, curves, levels))
    return panels


def _clips(results: FewShotResults, speaker: str, shown: Sequence[Column]) -> list[tuple[str, list[Clip]]]:
    """Return the text of each shown sentence, with its recording, if there is one, and one clip per method."""
    trials = {trial.learner: trial for trial in _ordered(results.trials, speaker)}
    recordings = {clip.utterance.id: clip for clip in results.spoken if clip.voice == speaker and clip.system == REAL}
    rows = []
    for index, utterance in enumerate(results.scored[speaker][:_PAGE_SENTENCES]):
        clips = []
        if (real := recordings.get(utterance.id)) is not None:
            clips = [Clip(REAL, samples=real.samples, rate=real.rate, scores=_rounded(real.scores, shown))]
        clips += [
            Clip(trial.system, file=trial.audio_file(index), scores=_rounded(trial.scores[index], shown))
            for trial in trials.values()
        ]
        if clips:
            rows.append((utterance.text, clips))
    return rows


def _ordered(trials: Sequence[Trial], speaker: str) -> list[Trial]:
    """Return the trials of one speaker that have audio, by sentences and then by steps."""
    return sorted(
        (trial for trial in trials if trial.speaker == speaker and trial.has_audio),
        key=lambda trial: (trial.sentences, trial.steps_order),
    )


def _rounded(scores: Scores, shown: Sequence[Column]) -> dict[str, float]:
    return {
        column.heading: round(scores[column.name], column.digits) for column in shown if column.name in scores.measures
    }


def _log_scores(log: Log, results: FewShotResults, rows: Sequence[Scores], shown: Sequence[Column]) -> None:
    """Log scores against steps, with one tag per score, method and number of sentences."""
    means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
    for trial in {trial.system: trial for trial in results.trials}.values():
        for column in shown:
            if column.name in means[trial.system]:
                tag = f"{column.name}/{trial.learner}, {counted(trial.sentences, 'sentence')}"
                log.scalar(tag, means[trial.system][column.name].mean, trial.steps_done)


def _mean(interval: Interval | None) -> float | None:
    return None if interval is None else interval.mean
