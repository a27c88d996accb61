"""The cloning benchmark: clones of speakers that the base was not trained on, or the voices of its training speakers.

With clones, each scored sentence has four versions: the real recording, its copy-synthesis, the mean voice of the base,
and the clone. With `training_speakers`, each training speaker speaks sentences of other speakers. The recordings of
these sentences and their copy-synthesis are scored too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from pydantic import Field

from tts_meta.adapt import CloneSettings, Recording, Voice, clone_examples, prepare_recordings
from tts_meta.adapt.arguments import check_settings
from tts_meta.adapt.voice_key import voice_key
from tts_meta.context import default_torch_state
from tts_meta.corpus import Example, Utterance
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig, SentenceSplit, failed
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.sentences_of_others import SentencesOfOthers, score_readers
from tts_meta.evaluate.voice import Spoken, score_training_speaker, score_voices
from tts_meta.evaluate.worker_models import load_for_worker
from tts_meta.executors import ONE_JOB, ContextWork, Workers, worker_pool
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels

MEAN, CLONE = "mean voice", "clone"


class CloningBenchmark(BenchmarkConfig):
    """Recipe of `tts-meta benchmark` without `learners`."""

    training_speakers: Annotated[int, Field(ge=0)] | tuple[str, ...] = 0
    """Number or names of training speakers that speak the sentences instead of clones, `score_on` sentences each."""
    texts: dict[str, str] = Field(default_factory=dict)
    """Texts by name that each of the `training_speakers` speaks instead of sentences of the manifest."""
    postfilter: float = 1.0
    """Same as `speak --postfilter`."""
    prenet_dropout: float = 0.0
    """Same as `speak --prenet-dropout`."""
    adapt_on: int = Field(default=10, gt=0)
    """Number of sentences to clone from."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules to adapt; the default of `clone` if empty."""
    steps: int | None = None
    """Inner steps; the default of `clone` if not given."""
    learning_rate: float | None = None
    """Learning rate; the default of `clone` if not given."""
    vocoder_steps: int | None = None
    """Inner steps of the modules of the vocoder if `modules` selects any; the default of `clone` if not given."""
    vocoder_learning_rate: float | None = None
    """Learning rate of the modules of the vocoder; the default of `clone` if not given."""
    variance: float | None = None
    """Prior variance; the default of `clone` if not given."""

    @property
    def options(self) -> SynthesisOptions:
        """Options of the synthesis of all voices."""
        return SynthesisOptions(postfilter=self.postfilter, prenet_dropout=self.prenet_dropout)

    def training_speaker_names(self, base: Base) -> list[str]:
        """Return the names of the training speakers that speak.

        Raises TtsMetaError if the base does not have these speakers.
        """
        chosen, available = self.training_speakers, base.speakers
        if not isinstance(chosen, int):
            missing = [name for name in chosen if name not in available]
            if missing:
                raise TtsMetaError(
                    f"training_speakers: the base has no speaker '{missing[0]}'; it has {', '.join(available)}"
                )
            return list(chosen)
        if chosen > len(available):
            raise TtsMetaError(f"training_speakers: the base has {len(available)} speakers, not {chosen}; give fewer")
        return [available[index * len(available) // chosen] for index in range(chosen)]

    def clone_settings(self) -> CloneSettings:
        """Return the settings of the inner loop."""
        names = ("modules", "steps", "learning_rate", "vocoder_steps", "vocoder_learning_rate", "variance", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name) not in ((), None)}
        return CloneSettings(**given)


def align_utterances(
    utterances: Sequence[Utterance], base: Base, speaker: str, report: Callable[[str], None]
) -> list[Example]:
    """Return the examples of utterances, with the transcripts of the manifest.

    speaker: name of the speaker in the examples. report: called with each warning. Raises TtsMetaError with the
    path of a recording that cannot be used.
    """
    recordings = [Recording(utterance.source, utterance.text) for utterance in utterances]
    return prepare_recordings(recordings, base, speaker, report)


@default_torch_state(preserve_rng=True)
def run_cloning(
    config: CloningBenchmark,
    base: Base,
    vocoder: Vocoder,
    report: Callable[[str], None],
    workers: Workers = ONE_JOB,
) -> list[Spoken]:
    """Clone every speaker of the recipe, and score every sentence by every system.

    The base is moved to the device of the recipe; the vocoder stays where it is. workers: where speakers are cloned
    and scored; the results do not depend on it. Several workers load the base and the vocoder of the recipe. Clones and
    scores are kept in the cache folder, and are not computed again. If a speaker fails, the others are still computed.
    Raises UsageError for `texts` without `training_speakers`, and for settings of cloning that are out of range. Raises
    TtsMetaError for the same reasons as cloning and scoring.
    """
    models = Models.create(config, base, vocoder)
    spoken: dict[str, list[Spoken]] = {}
    faults: list[str] = []
    names = models.names
    work = ContextWork(partial(load_models, config, models.base.hash), _score_voice_of, models)
    jobs = min(workers.jobs, len(names))
    with worker_pool(jobs, workers.dask, in_process=workers.in_process, task_items=1) as pool:
        for name, result in pool.run(work, names):
            for line in result.lines:
                report(line)
            spoken[name] = result.spoken
            if result.fault is not None:
                faults.append(f"{name or 'recordings'}: {result.fault}")
                report(faults[-1])
    if faults:
        raise failed(faults, len(names), config)
    return [clip for name in names for clip in spoken[name]]


@dataclass(frozen=True, eq=False)
class Models:
    """What the work on every speaker needs: models, sentences and settings.

    names: names of the voices. With `training_speakers`, the first one is empty and stands for the recordings.
    """

    config: CloningBenchmark
    base: Base
    vocoder: Vocoder
    scorer: Scorer
    names: list[str]
    chosen: Mapping[str, SentenceSplit] = field(default_factory=dict)
    drawn: SentencesOfOthers = field(default_factory=SentencesOfOthers)

    @classmethod
    def create(cls, config: CloningBenchmark, base: Base, vocoder: Vocoder) -> Models:
        """Check the recipe and load what it needs. The base is moved to the device of the recipe."""
        check_settings(config.clone_settings())
        base = base.on(choose_device(config.device))
        check_mels(vocoder, base.config.audio.mel)
        scorer = config.scorer(base.language)
        if config.texts and not config.training_speakers:
            raise UsageError("texts are spoken by training speakers of the base; set training_speakers to their number")
        if config.training_speakers:
            if config.test_list is not None:
                raise UsageError("training_speakers speak sentences of a manifest; leave out test_list")
            speakers = config.training_speaker_names(base)
            drawn = SentencesOfOthers.draw(config, speakers, base, config.texts)
            return cls(config, base, vocoder, scorer, [*([] if config.texts else [""]), *speakers], drawn=drawn)
        chosen = config.sentence_sets(config.load_manifest(base.language), config.adapt_on)
        return cls(config, base, vocoder, scorer, list(chosen), chosen)


def load_models(config: CloningBenchmark, base_hash: str) -> Models:
    """Load the models of a recipe in a worker process. Raises the errors of `load_for_worker`."""
    return Models.create(config, *load_for_worker(config, base_hash))


@dataclass(frozen=True, eq=False)
class _Result:
    """What a worker returns: scored sentences, lines to report, and a fault that stopped it."""

    spoken: list[Spoken]
    lines: list[str]
    fault: TtsMetaError | None = None


@default_torch_state(preserve_rng=True)
def _score_voice_of(models: Models, name: str) -> _Result:
    """Clone a speaker and score the clone, or score a training speaker. A fault of its recordings is returned."""
    lines: list[str] = []
    score = _score_training_speaker if models.config.training_speakers else _clone_and_score
    try:
        return _Result(score(models, name, lines.append), lines)
    except UsageError:
        raise
    except TtsMetaError as error:
        return _Result([], lines, error)


def _clone_and_score(models: Models, name: str, report: Callable[[str], None]) -> list[Spoken]:
    config, base, vocoder, sentences = models.config, models.base, models.vocoder, models.chosen[name]
    report(f"{name}: cloning from {len(sentences.adapt_on)} sentence{'s' * (len(sentences.adapt_on) != 1)}")
    voice = _voice(models, name, sentences.adapt_on, report)
    clone = voice.apply(base, name), voice.apply_vocoder(vocoder, name)
    spoken = score_voices(
        base,
        {MEAN: (base.acoustic, vocoder), CLONE: clone},
        vocoder,
        sentences.score_on,
        models.scorer,
        sentences.references,
        config.cache_folder,
        config.options,
    )
    report(f"{name}: {len(sentences.score_on)} sentences scored")
    return spoken


def _voice(models: Models, name: str, adapt_on: Sequence[Utterance], report: Callable[[str], None]) -> Voice:
    """Return the voice from the cache folder if it is there, or else clone it and write it."""
    settings = models.config.clone_settings()
    recordings = [Recording(utterance.source, utterance.text) for utterance in adapt_on]
    key = voice_key(models.base, settings, models.vocoder, recordings)
    path = models.config.cache_folder / "clones" / f"{key}.voice.safetensors"
    if not path.exists():
        examples = align_utterances(adapt_on, models.base, name, report)
        clone_examples(models.base, examples, settings, vocoder=models.vocoder).save(path)
    return Voice.load(path)


def _score_training_speaker(models: Models, name: str, report: Callable[[str], None]) -> list[Spoken]:
    """Score sentences by a training speaker or, for an empty name, the recordings of all sentences.

    If the recipe has `texts`, each training speaker speaks all of them, and there are no recordings.
    """
    config, base, drawn = models.config, models.base, models.drawn
    if not name:
        spoken = score_readers(base, models.vocoder, models.scorer, drawn, config.cache_folder)
        report(f"{len(spoken) // 2} recordings scored")
        return spoken
    to_speak = drawn.of_speaker(name)
    spoken = score_training_speaker(
        base,
        base.speakers.index(name),
        models.vocoder,
        to_speak,
        drawn.references(name),
        models.scorer,
        config.cache_folder,
        config.options,
    )
    report(f"{name}: {len(to_speak)} sentences scored")
    return spoken
