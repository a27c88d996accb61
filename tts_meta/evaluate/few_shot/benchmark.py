"""The few-shot benchmark: several learners, each from few and more sentences, after few and many inner steps.

A cell is one learner's voice of one speaker, from so many sentences, after so many steps; all cells say the same unseen
sentences (`trials.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from pydantic import Field

from tts_meta.audio import read_audio
from tts_meta.context import default_torch_state
from tts_meta.corpus import Manifest
from tts_meta.errors import UsageError
from tts_meta.evaluate.baselines import TrainingSpeakerVoices
from tts_meta.evaluate.cloning import ClonedSpeakers, SentenceSplit, choose_sentences
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.results_io import read_trials
from tts_meta.evaluate.few_shot.trials import SpeakerData, Trial, trial
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.scores import Scores
from tts_meta.evaluate.similarity import error_rate_interval, voice_embedding
from tts_meta.evaluate.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.evaluate.voice import Spoken
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels


class FewShotBenchmark(ClonedSpeakers):
    """`tts-meta benchmark` of a recipe with `learners`."""

    learners: dict[str, MethodConfig] = Field(min_length=1)
    """What is compared, by name; the first is what the others are compared to."""
    sentences: tuple[int, ...] = Field(default=(1, 5, 10, 20), min_length=1)
    """Sentences to clone from: the first so many of the same ones."""
    support_pool: int | None = Field(default=None, gt=0)
    """Sentences kept for cloning, beside which the scored ones are drawn; the most that are asked for by default."""
    steps: tuple[int, ...] = Field(default=(0, 10, 100, 1000), min_length=1)
    """Inner steps, each in a loop of its own."""
    frames_per_step: int = Field(default=1600, gt=0)
    """Frames that each of them sees, at least a sentence."""
    cached_results: Path | None = None
    """`trials.jsonl` of another run, maybe on another machine: what is in it is not made anew."""

    def choose(self, manifest: Manifest) -> dict[str, SentenceSplit]:
        """Sentences to clone from, to score and to measure similarity to, by speaker.

        Raises UsageError for counts that are none or more than are set apart, TtsMetaError as `choose_sentences` does.
        """
        counts = {*self.sentences, *(count for one in self.learners.values() for count in one.sentences)}
        if min(counts) < 1:
            raise UsageError("sentences must be 1 or more")
        if self.support_pool is not None and self.support_pool < max(counts):
            raise UsageError(f"set_apart is {self.support_pool}, and a learner asks for {max(counts)} sentences")
        return choose_sentences(manifest, self, self.support_pool or max(counts))


@dataclass(frozen=True, eq=False)
class FewShotResults:
    """Every cell, and recordings and copies of what they say, with scores.

    voices: the embedding of each speaker's own recordings. heard: those of recordings and copies, in the order of
    `spoken`.
    """

    trials: list[Trial]
    spoken: list[Spoken]
    voices: dict[str, Embedding]
    heard: list[Embedding]

    def scores(self) -> list[Scores]:
        """Of recordings, of copies, and of what all voices say."""
        return [one.scores for one in self.spoken] + [row for trial in self.trials for row in trial.scores]

    def error_rates(self) -> dict[str, Interval]:
        """Of each system: how often a judge of voices errs who takes it for the speakers. None for one speaker."""
        if len(self.voices) < 2:
            return {}
        heard = [(one.system, one.utterance.speaker, e) for one, e in zip(self.spoken, self.heard, strict=True)]
        heard += [(trial.system, trial.speaker, embedding) for trial in self.trials for embedding in trial.embeddings]
        rates = {}
        for system in dict.fromkeys(system for system, *_ in heard):
            its = [(speaker, embedding) for name, speaker, embedding in heard if name == system]
            rates[system] = error_rate_interval([e for _, e in its], [speaker for speaker, _ in its], self.voices)
        return rates


@default_torch_state(preserve_rng=True)
def run_few_shot(
    config: FewShotBenchmark, base: Base, vocoder: Vocoder, report: Callable[[str], None]
) -> FewShotResults:
    """Make what cells are missing, and read all.

    Raises UsageError before any work for a count of sentences or steps that makes no cell and for settings of a learner
    that cannot be, TtsMetaError as cloning and `read_trials` do.
    """
    steps_of = {name: _steps(one, config) for name, one in config.learners.items()}
    if any(steps is not None and steps < 0 for own in steps_of.values() for steps in own):
        raise UsageError("steps must be 0 or more")
    loaded = {path: load_base(path) for path in {one.base for one in config.learners.values()} if path}
    bases = {name: one.seen(loaded[one.base] if one.base else base) for name, one in config.learners.items()}
    for name, learner in config.learners.items():
        learner.check(name, bases[name], vocoder)
    for own in (base, *bases.values()):
        check_mels(vocoder, own.config.audio.mel)
    manifest = Manifest.load(config.manifest)
    chosen = config.choose(manifest)
    cached_results = read_trials(config.cached_results) if config.cached_results else {}
    scorer, encoder = config.scorer(), SpeakerEncoder.load()
    known: dict[str, Callable[[], TrainingSpeakerVoices]] = {}
    results = FewShotResults([], [], {}, [])
    for speaker, sentences in chosen.items():
        data = SpeakerData(
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
        said = data.spoken(base, {})
        results.spoken.extend(said)
        results.heard.extend(data.embed(said))
        rate = base.config.audio.mel.sample_rate
        own = [(read_audio(one.audio, rate), rate) for one in data.references]
        results.voices[speaker] = voice_embedding(encoder, own)
        for name, learner in config.learners.items():
            its = bases[name]
            its_known = known.setdefault(its.hash, cache(partial(TrainingSpeakerVoices.of, its, manifest)))
            its_material = replace(data, known=its_known)
            for count in learner.sentences or config.sentences:
                for steps in steps_of[name]:
                    results.trials.append(trial(name, learner, its, its_material, count, steps))
                    source = results.trials[-1].source
                    report(f"{speaker}: {results.trials[-1].system}{'' if source == 'this run' else f' ({source})'}")
    return results


def _steps(learner: MethodConfig, config: FewShotBenchmark) -> tuple[int | None, ...]:
    """After how many a learner's voices are taken; None where the loop ends by itself."""
    if not learner.steps_matter:
        return (0,)
    return (*learner.steps, None) if learner.auto_stop else learner.steps or config.steps
