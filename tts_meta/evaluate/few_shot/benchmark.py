"""Runs the few-shot benchmark: compares methods for several numbers of sentences and of inner steps.

A trial is the voice of one speaker by one method, from a number of sentences, after a number of inner steps. All voices
of a speaker speak the same unseen sentences. `trials.py` defines a trial, `run_trial.py` computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from tts_meta.adapt import CloneSettings
from tts_meta.audio import read_audio
from tts_meta.context import default_torch_state
from tts_meta.corpus import Manifest
from tts_meta.corpus.languages import in_language
from tts_meta.devices import choose_device
from tts_meta.errors import UsageError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig, SentenceSplit, choose_sentences
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.ecapa_similarity import NAME as ECAPA
from tts_meta.evaluate.few_shot.results_io import SpeakerRecordings, read_trials
from tts_meta.evaluate.few_shot.run_trial import run_trial
from tts_meta.evaluate.few_shot.speaker_data import SpeakerData
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.scores import Scorer, Scores
from tts_meta.evaluate.similarity import error_rate_interval, voice_embedding
from tts_meta.evaluate.training_speakers import TrainingSpeakers
from tts_meta.evaluate.voice import Spoken
from tts_meta.models.ecapa_encoder import EcapaEncoder
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels


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

    def choose(self, manifest: Manifest) -> dict[str, SentenceSplit]:
        """Return the sentences of each speaker: to adapt on, to score, and to measure similarity to.

        Raises UsageError for a number of sentences below 1 or above `support_pool`. Raises TtsMetaError for the
        same reasons as `choose_sentences`.
        """
        counts = {*self.sentences, *(count for method in self.learners.values() for count in method.sentences)}
        if min(counts) < 1:
            raise UsageError("sentences must be 1 or more")
        if self.support_pool is not None and self.support_pool < max(counts):
            raise UsageError(f"support_pool is {self.support_pool}, but {max(counts)} sentences are requested")
        return choose_sentences(manifest, self, self.support_pool or max(counts))


@dataclass(frozen=True, eq=False)
class FewShotResults:
    """All trials, and the recordings and copy-synthesis of the scored sentences, with scores.

    voices: mean embedding of each speaker's recordings. spoken_embeddings: embeddings of `spoken`, in this order.
    ecapa_voices, ecapa_embeddings: the same by `EcapaEncoder`; empty if the benchmark does not use its metric.
    """

    trials: list[Trial]
    spoken: list[Spoken]
    voices: dict[str, Embedding]
    spoken_embeddings: list[Embedding]
    ecapa_voices: dict[str, Embedding] = field(default_factory=dict)
    ecapa_embeddings: list[Embedding] = field(default_factory=list)

    def scores(self) -> list[Scores]:
        """Return the scores of the recordings, the copy-synthesis and all voices."""
        return [sentence.scores for sentence in self.spoken] + [row for trial in self.trials for row in trial.scores]

    def recordings(self) -> list[SpeakerRecordings]:
        """Return the recordings and copy-synthesis of each speaker, without audio."""
        recordings = []
        for speaker, voice in self.voices.items():
            numbers = [number for number, clip in enumerate(self.spoken) if clip.utterance.speaker == speaker]
            scores = tuple(self.spoken[number].scores for number in numbers)
            embeddings = tuple(self.spoken_embeddings[number] for number in numbers)
            ecapa = tuple(self.ecapa_embeddings[number] for number in numbers if self.ecapa_embeddings)
            row = SpeakerRecordings(speaker, voice, scores, embeddings, self.ecapa_voices.get(speaker), ecapa)
            recordings.append(row)
        return recordings

    def error_rates(self) -> dict[str, Interval]:
        """Return the equal error rate of speaker verification for each system; empty for a single speaker."""
        return error_rates(
            [sentence.scores for sentence in self.spoken], self.spoken_embeddings, self.trials, self.voices
        )

    def ecapa_error_rates(self) -> dict[str, Interval]:
        """Return the same by `EcapaEncoder`; empty if the benchmark does not use its metric."""
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
    config: FewShotBenchmark, base: Base, vocoder: Vocoder, report: Callable[[str], None]
) -> FewShotResults:
    """Compute the missing trials, read the other trials, and return the results.

    The base is moved to the device of the recipe; the vocoder stays where it is. report: called with a line for each
    trial. Raises UsageError before any work for impossible numbers of sentences or steps, and for settings that a
    learner does not use. Raises TtsMetaError for the same reasons as cloning and `read_trials`.
    """
    if any(count < 0 for steps in (config.steps, *(m.steps for m in config.learners.values())) for count in steps):
        raise UsageError("steps must be 0 or more")
    base = base.on(choose_device(config.device))
    bases = _bases(config, base, vocoder)
    manifest = in_language(Manifest.load(config.manifest), base.language, config.manifest)
    chosen = config.choose(manifest)
    training_speakers = _training_speakers(config, bases, manifest)
    cached_results = read_trials(config.cached_results) if config.cached_results else {}
    scorer, encoder = config.scorer(base.language), SpeakerEncoder.load(base.device)
    ecapa = EcapaEncoder.load(base.device) if ECAPA in scorer.metrics else None
    results = FewShotResults([], [], {}, [])
    for speaker, sentences in chosen.items():
        data = _speaker_data(config, speaker, sentences, vocoder, scorer, encoder, cached_results, report)
        data = replace(data, ecapa=ecapa)
        spoken = data.score(base, {})
        results.spoken.extend(spoken)
        results.spoken_embeddings.extend(data.embed(spoken))
        rate = base.config.audio.mel.sample_rate
        references = [(read_audio(reference.source, rate), rate) for reference in data.references]
        results.voices[speaker] = voice_embedding(encoder, references)
        if ecapa is not None:
            results.ecapa_embeddings.extend(data.embed_ecapa(spoken))
            results.ecapa_voices[speaker] = voice_embedding(ecapa, references)
        for name, method in config.learners.items():
            method_data = replace(data, training_speakers=training_speakers.get(name))
            for sentence_count in method.sentences or config.sentences:
                for step_count in method.step_counts(bases[name], config.steps):
                    trial = run_trial(name, method, bases[name], method_data, sentence_count, step_count)
                    results.trials.append(trial)
                    report(f"{speaker}: {trial.system}{'' if trial.source == 'this run' else f' ({trial.source})'}")
    return results


def _bases(config: FewShotBenchmark, base: Base, vocoder: Vocoder) -> dict[str, Base]:
    """Return the base of each method, with its prior.

    Raises UsageError for settings that do not fit the base or the vocoder.
    """
    paths = {method.base_folder for method in config.learners.values()}
    loaded = {path: load_base(path, base.device) for path in paths if path}
    bases = {
        name: method.with_prior(base if method.base_folder is None else loaded[method.base_folder])
        for name, method in config.learners.items()
    }
    for name, method in config.learners.items():
        method.check(name, bases[name], vocoder)
    for used in (base, *bases.values()):
        check_mels(vocoder, used.config.audio.mel)
        if used.language != base.language:
            raise UsageError(
                f"{used.folder} reads '{used.language}', but {base.folder} reads '{base.language}'; "
                "compare bases of one language"
            )
    return bases


def _training_speakers(
    config: FewShotBenchmark, bases: Mapping[str, Base], manifest: Manifest
) -> dict[str, TrainingSpeakers]:
    """Return the training speakers of the base of each method whose learner needs them."""
    speakers, by_method = dict[str, TrainingSpeakers](), dict[str, TrainingSpeakers]()
    for name, method in config.learners.items():
        base = bases[name]
        if "trained_tasks" in method.choice(base).learner_class.needs:
            if base.hash not in speakers:
                speakers[base.hash] = TrainingSpeakers.of(base, manifest)
            by_method[name] = speakers[base.hash]
    return by_method


def _speaker_data(
    config: FewShotBenchmark,
    speaker: str,
    sentences: SentenceSplit,
    vocoder: Vocoder,
    scorer: Scorer,
    encoder: SpeakerEncoder,
    cached_results: dict[str, Trial],
    report: Callable[[str], None],
) -> SpeakerData:
    return SpeakerData(
        speaker,
        sentences.adapt_on,
        sentences.score_on,
        sentences.references,
        vocoder,
        scorer,
        encoder,
        config.seed,
        config.frames_per_step,
        config.cache_folder,
        cached_results=cached_results,
        report=report,
    )
