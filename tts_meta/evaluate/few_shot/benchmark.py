"""Runs the few-shot benchmark: compares methods for several numbers of sentences and of inner steps.

A trial is the voice of one speaker by one method, from a number of sentences, after a number of inner steps. All voices
of a speaker speak the same unseen sentences. `trials.py` defines a trial, `run_trial.py` computes it, and `work.py`
divides the benchmark into pieces for workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from tts_meta.adapt import CloneSettings
from tts_meta.context import default_torch_state
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import UsageError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig, SentenceSplit, failed
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.results_io import SpeakerRecordings
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.few_shot.work import Models, RecordingsResult, compute, load_models
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.scores import Scores
from tts_meta.evaluate.similarity import error_rate_interval
from tts_meta.evaluate.voice import Spoken
from tts_meta.executors import ONE_JOB, ContextWork, Workers, worker_pool
from tts_meta.models.pretrained import Base
from tts_meta.models.speaker_encoder import Embedding
from tts_meta.models.vocoders.vocoder import Vocoder


class FewShotBenchmark(BenchmarkConfig):
    """Recipe of `tts-meta benchmark` with `learners`."""

    learners: dict[str, MethodConfig] = Field(min_length=1)
    """Methods by name. The table of differences compares the others with the first."""
    sentences: tuple[int, ...] = Field(default=(1, 5, 10, 20), min_length=1)
    """Numbers of sentences to adapt on. A smaller number takes the first of the same sentences."""
    support_pool: int | None = Field(default=None, gt=0)
    """Number of sentences that are reserved for adaptation and never scored; the largest of `sentences` by default."""
    steps: tuple[int, ...] = Field(default=(0, 10, 100, 1000), min_length=1)
    """Numbers of inner steps. Each number has its own inner loop."""
    frames_per_step: int = Field(default=CloneSettings.frames_per_step, gt=0)
    """Number of mel frames of an inner step, approximately."""
    cached_results: Path | None = None
    """File `trials.jsonl` of another run, possibly on another machine. The trials in it are not computed again."""

    def choose(self, manifest: Manifest | None) -> dict[str, SentenceSplit]:
        """Return the sentences of each speaker: to adapt on, to score, and to measure similarity to.

        Raises UsageError for a number of sentences below 1 or above `support_pool`. Raises TtsMetaError for the
        same reasons as `sentence_sets`.
        """
        counts = {*self.sentences, *(count for method in self.learners.values() for count in method.sentences)}
        if min(counts) < 1:
            raise UsageError("sentences must be 1 or more")
        if self.support_pool is not None and self.support_pool < max(counts):
            raise UsageError(f"support_pool is {self.support_pool}, but {max(counts)} sentences are requested")
        return self.sentence_sets(manifest, self.support_pool or max(counts))


@dataclass(frozen=True, eq=False)
class FewShotResults:
    """All trials, and the recordings and copy-synthesis of the scored sentences, with scores.

    voices: mean embedding of each speaker's recordings. spoken_embeddings: embeddings of `spoken`, in this order.
    ecapa_voices, ecapa_embeddings: the same by `EcapaEncoder`; empty if the benchmark does not use its metric.
    scored: the sentences that the voices of each speaker speak. has_prompts: the sentences are from a published test
    list, and `voices` and `scored` have the names of prompts in place of speakers.
    """

    trials: list[Trial]
    spoken: list[Spoken]
    voices: dict[str, Embedding]
    spoken_embeddings: list[Embedding]
    ecapa_voices: dict[str, Embedding] = field(default_factory=dict)
    ecapa_embeddings: list[Embedding] = field(default_factory=list)
    scored: dict[str, Sequence[Utterance]] = field(default_factory=dict)
    has_prompts: bool = False

    def scores(self) -> list[Scores]:
        """Return the scores of the recordings, the copy-synthesis and all voices."""
        return [sentence.scores for sentence in self.spoken] + [row for trial in self.trials for row in trial.scores]

    def recordings(self) -> list[SpeakerRecordings]:
        """Return the recordings and copy-synthesis of each speaker, without audio."""
        recordings = []
        for speaker, voice in self.voices.items():
            numbers = [number for number, clip in enumerate(self.spoken) if clip.voice == speaker]
            scores = tuple(self.spoken[number].scores for number in numbers)
            embeddings = tuple(self.spoken_embeddings[number] for number in numbers)
            ecapa = tuple(self.ecapa_embeddings[number] for number in numbers if self.ecapa_embeddings)
            row = SpeakerRecordings(speaker, voice, scores, embeddings, self.ecapa_voices.get(speaker), ecapa)
            recordings.append(row)
        return recordings

    def error_rates(self) -> dict[str, Interval]:
        """Return the equal error rate of speaker verification for each system.

        It is empty for a single speaker, and for a test list, in which a speaker may have several prompts.
        """
        if self.has_prompts:
            return {}
        return error_rates(
            [sentence.scores for sentence in self.spoken], self.spoken_embeddings, self.trials, self.voices
        )

    def ecapa_error_rates(self) -> dict[str, Interval]:
        """Return the same by `EcapaEncoder`; empty if the benchmark does not use its metric."""
        if self.has_prompts:
            return {}
        rows = [sentence.scores for sentence in self.spoken] if self.ecapa_voices else []
        return error_rates(rows, self.ecapa_embeddings, self.trials, self.ecapa_voices, "ecapa_embeddings")


def error_rates(
    rows: Sequence[Scores],
    embeddings: Sequence[Embedding],
    trials: Sequence[Trial],
    voices: Mapping[str, Embedding],
    attribute: Literal["embeddings", "ecapa_embeddings"] = "embeddings",
) -> dict[str, Interval]:
    """Return the equal error rate of speaker verification for each system; empty for a single speaker.

    rows, embeddings: scores and embeddings of the recordings and the copy-synthesis. voices: mean embedding of each
    speaker's recordings. attribute: the embeddings of a trial by the same encoder.
    """
    if len(voices) < 2:
        return {}
    claims = [(row.system, row.speaker, embedding) for row, embedding in zip(rows, embeddings, strict=True)]
    claims += [(trial.system, trial.speaker, embedding) for trial in trials for embedding in getattr(trial, attribute)]
    rates = {}
    for system in dict.fromkeys(system for system, *_ in claims):
        system_claims = [(speaker, embedding) for name, speaker, embedding in claims if name == system]
        speakers = [speaker for speaker, _ in system_claims]
        rates[system] = error_rate_interval([embedding for _, embedding in system_claims], speakers, voices)
    return rates


@default_torch_state(preserve_rng=True)
def run_few_shot(
    config: FewShotBenchmark,
    base: Base,
    vocoder: Vocoder,
    report: Callable[[str], None],
    workers: Workers = ONE_JOB,
) -> FewShotResults:
    """Compute the missing trials, read the other trials, and return the results.

    The base is moved to the device of the recipe; the vocoder stays where it is. report: called with a line for each
    trial. workers: where trials are computed; the results do not depend on it. Several workers load the base and the
    vocoder of the recipe. If a trial fails, the others are still computed and kept. Raises UsageError before any work
    for impossible numbers of sentences or steps, and for settings that a learner does not use. Raises TtsMetaError for
    the same reasons as cloning and `read_trials`.
    """
    if any(count < 0 for steps in (config.steps, *(m.steps for m in config.learners.values())) for count in steps):
        raise UsageError("steps must be 0 or more")
    models = Models.create(config, base, vocoder)
    recordings, computed = _compute(models, workers, report)
    models.computed.update(computed)
    results = FewShotResults([], [], {}, [], has_prompts=config.test_list is not None)
    for speaker, sentences in models.chosen.items():
        row = recordings[speaker]
        results.spoken.extend(row.spoken)
        results.spoken_embeddings.extend(row.embeddings)
        results.voices[speaker] = row.voice
        results.scored[speaker] = sentences.score_on
        if row.ecapa_voice is not None:
            results.ecapa_embeddings.extend(row.ecapa_embeddings)
            results.ecapa_voices[speaker] = row.ecapa_voice
        for piece in models.trials(speaker):
            trial = models.trial(piece)
            results.trials.append(trial)
            if trial.source != "this run":
                report(f"{piece} ({trial.source})")
    return results


def _compute(
    models: Models, workers: Workers, report: Callable[[str], None]
) -> tuple[dict[str, RecordingsResult], set[Path]]:
    """Compute all missing pieces; return the recordings by speaker, and the folders of what was computed.

    Raises TtsMetaError that names the first fault, after all other pieces are computed.
    """
    pieces, recordings, computed = models.missing(), dict[str, RecordingsResult](), set[Path]()
    faults: list[str] = []
    work = ContextWork(partial(load_models, models.config, models.base.hash), compute, models)
    jobs = min(workers.jobs, len(pieces))
    with worker_pool(jobs, workers.dask, in_process=workers.in_process, task_items=1) as pool:
        for piece, result in pool.run(work, pieces):
            for line in result.warnings:
                report(line)
            computed |= result.computed
            if result.recordings is not None:
                recordings[piece.speaker] = result.recordings
            if result.fault is not None:
                faults.append(f"{piece}: {result.fault}")
            if piece.method or result.fault is not None:
                report(faults[-1] if result.fault is not None else str(piece))
    if faults:
        raise failed(faults, len(pieces), models.config)
    return recordings, computed
