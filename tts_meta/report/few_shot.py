"""The few-shot benchmark's results in one folder: scores, tables, curves, a page to listen to, and TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_meta.audio.mel import MelConfig
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.benchmark import FewShotResults
from tts_meta.evaluate.few_shot.results_io import write_trials
from tts_meta.evaluate.few_shot.trials import Trial, counted
from tts_meta.evaluate.metric import Column
from tts_meta.evaluate.scores import Scores
from tts_meta.evaluate.table import summarise, write_scores
from tts_meta.evaluate.voice import REAL
from tts_meta.files import atomic_file
from tts_meta.report.benchmark_logs import MeanVoice, few_shot_sounds, log_sounds
from tts_meta.report.few_shot_tables import few_shot_tables, shown_columns, source_marks, source_notes
from tts_meta.report.figures import Panel, draw_curves, write_png
from tts_meta.report.log import FIGURE, TEXT, Log
from tts_meta.report.page import Clip, ListeningPage
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog

_SHOWN = 2
"""Sentences of each speaker on the page."""


def write_few_shot_report(
    folder: Path,
    results: FewShotResults,
    config: MelConfig,
    info: RunInfo | None = None,
    mean_voice: MeanVoice | None = None,
) -> str:
    """Write everything and return the tables, Markdown. info, mean_voice: what only the log has."""
    rows, trials = results.scores(), results.trials
    write_scores(folder / "scores.jsonl", rows)
    write_trials(folder / "trials.jsonl", trials)
    text = few_shot_tables(trials, rows, results.error_rates())
    with atomic_file(folder / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    counts = len({trial.sentences for trial in trials})
    picture = draw_curves(_panels(trials, rows), columns=counts if counts > 1 else 3)
    write_png(folder / "curves.png", picture)
    page = ListeningPage(
        "From few sentences", "Sentences that no voice was adapted on. Means with 95 % intervals over speakers.", config
    )
    overview = page.section("Scores over inner steps")
    overview.image(picture, "Curves of each score over inner steps, one a learner, a column for each many sentences")
    shown = shown_columns(rows)
    sources: dict[str, list[Trial]] = {}
    for trial in trials:
        sources.setdefault(trial.system, []).append(trial)
    overview.table(
        ("System", *(column.heading for column in shown)),
        [
            (
                s.group[0] + source_marks(sources.get(s.group[0], ())),
                *(_mean(s.intervals.get(column.name)) for column in shown),
            )
            for s in summarise(rows)
        ],
        " ".join(note.strip() for note in source_notes(trials)),
        digits=[0, *(column.digits for column in shown)],
    )
    for speaker in results.voices:
        section = page.section(f"Speaker {speaker}", "Each learner after the most steps, from the most sentences.")
        for number, (heading, clips) in enumerate(_clips(results, speaker, shown)):
            section.row(heading, clips, note="" if number else "The recording stands first.")
    page.write(folder / "index.html")
    with TensorBoardLog(folder / "logs", config, replace=True) as log:
        if info is not None:
            info.log(log)
        log.text(f"{TEXT}/tables", text, 0)
        log.image(f"{FIGURE}/curves", picture, 0)
        _log_scores(log, results, rows, shown)
        log_sounds(log, few_shot_sounds(results, mean_voice, config.sample_rate), config)
    return text


def _panels(trials: Sequence[Trial], rows: Sequence[Scores]) -> list[Panel]:
    """A row of panels a score, a column for each many sentences: curves over steps, a level where they settle."""
    means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
    systems = {(trial.learner, trial.sentences, trial.steps): trial.system for trial in trials}
    panels = []
    for column in shown_columns(rows):
        for sentences in sorted({trial.sentences for trial in trials}):
            curves = {
                learner: sorted(
                    (float(steps), means[system][column.name])
                    for (its, count, steps), system in systems.items()
                    if (its, count) == (learner, sentences) and steps is not None
                )
                for learner in dict.fromkeys(trial.learner for trial in trials)
            }
            auto_stop = {
                f"{learner}, stopped automatically": system
                for (learner, count, steps), system in systems.items()
                if count == sentences and steps is None
            }
            its_levels = {REAL: REAL} | auto_stop
            levels = {
                name: means[system][column.name].mean
                for name, system in its_levels.items()
                if column.name in means[system]
            }
            panels.append(Panel(counted(sentences, "sentence"), "inner steps", column.heading, curves, levels))
    return panels


def _clips(results: FewShotResults, speaker: str, shown: Sequence[Column]) -> list[tuple[str, list[Clip]]]:
    """Sentences, and who says them."""
    real = [one for one in results.spoken if one.utterance.speaker == speaker and one.system == REAL]
    trials = {trial.learner: trial for trial in _last(results.trials, speaker)}
    found = []
    for number, one in enumerate(real[:_SHOWN]):
        clips = [Clip(REAL, samples=one.samples, rate=one.rate, scores=_figures(one.scores, shown))]
        clips += [
            Clip(trial.system, file=trial.sound(number), scores=_figures(trial.scores[number], shown))
            for trial in trials.values()
        ]
        found.append((one.utterance.text, clips))
    return found


def _last(trials: Sequence[Trial], speaker: str) -> list[Trial]:
    """Of one speaker and to be heard, ordered so that those from the most sentences after the most steps come last."""
    return sorted(
        (c for c in trials if c.speaker == speaker and c.here), key=lambda trial: (trial.sentences, trial.place)
    )


def _figures(scores: Scores, shown: Sequence[Column]) -> dict[str, float]:
    return {c.heading: round(scores[c.name], c.digits) for c in shown if c.name in scores.measures}


def _log_scores(log: Log, results: FewShotResults, rows: Sequence[Scores], shown: Sequence[Column]) -> None:
    """Scores over steps, a tag for each learner and count of sentences."""
    means = {summary.group[0]: summary.intervals for summary in summarise(rows)}
    for trial in {trial.system: trial for trial in results.trials}.values():
        for column in shown:
            if column.name in means[trial.system]:
                tag = f"{column.name}/{trial.learner}, {counted(trial.sentences, 'sentence')}"
                log.scalar(tag, means[trial.system][column.name].mean, trial.steps_done)


def _mean(interval: Interval | None) -> float | None:
    return None if interval is None else interval.mean
