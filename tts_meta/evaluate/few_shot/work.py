"""The work of the few-shot benchmark in pieces: the recordings of a speaker, and one trial. Workers do any piece.

A worker process loads the models once (`load_models`). Trials are kept in the cache folder, so a piece that is done is
not lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.audio import read_audio
from tts_meta.context import default_torch_state
from tts_meta.corpus import Manifest
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.benchmark_config import SentenceSplit
from tts_meta.evaluate.ecapa_similarity import NAME as ECAPA
from tts_meta.evaluate.few_shot.results_io import read_trials
from tts_meta.evaluate.few_shot.run_trial import is_missing, run_trial, trial_folder
from tts_meta.evaluate.few_shot.speaker_data import SpeakerData
from tts_meta.evaluate.few_shot.trials import Trial, system_name
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.similarity import voice_embedding
from tts_meta.evaluate.training_speakers import TrainingSpeakers
from tts_meta.evaluate.voice import Spoken
from tts_meta.evaluate.worker_models import load_for_worker
from tts_meta.models.ecapa_encoder import EcapaEncoder
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels

if TYPE_CHECKING:
    from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark


@dataclass(frozen=True)
class Piece:
    """A trial of a speaker or, without a method, the recordings of a speaker and their copy-synthesis."""

    speaker: str
    method: str = ""
    sentences: int = 0
    steps: int | None = None

    def __str__(self) -> str:
        system = system_name(self.method, self.sentences, self.steps) if self.method else "recordings"
        return f"{self.speaker}: {system}"


@dataclass(frozen=True, eq=False)
class RecordingsResult:
    """The scored recordings and copy-synthesis of a speaker, and the embeddings of `FewShotResults`."""

    spoken: list[Spoken]
    embeddings: list[Embedding]
    voice: Embedding
    ecapa_embeddings: list[Embedding]
    ecapa_voice: Embedding | None


@dataclass(frozen=True, eq=False)
class PieceResult:
    """What a worker returns: a fault, or folders that it has filled, and warnings about recordings."""

    computed: frozenset[Path] = frozenset()
    recordings: RecordingsResult | None = None
    warnings: tuple[str, ...] = ()
    fault: TtsMetaError | None = None


@dataclass(frozen=True, eq=False)
class Models:
    """What all pieces need: models, sentences and settings."""

    config: FewShotBenchmark
    base: Base
    bases: Mapping[str, Base]
    vocoder: Vocoder
    scorer: Scorer
    chosen: Mapping[str, SentenceSplit]
    training_speakers: Mapping[str, TrainingSpeakers]
    cached_results: Mapping[str, Trial]
    computed: set[Path] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, config: FewShotBenchmark, base: Base, vocoder: Vocoder) -> Models:
        """Check the recipe and load what it needs. The base is moved to the device of the recipe."""
        base = base.on(choose_device(config.device))
        bases = _bases(config, base, vocoder)
        manifest = config.load_manifest(base.language)
        chosen = config.choose(manifest)
        training_speakers = _training_speakers(config, bases, manifest)
        cached_results = read_trials(config.cached_results) if config.cached_results else {}
        return cls(
            config, base, bases, vocoder, config.scorer(base.language), chosen, training_speakers, cached_results
        )

    @cached_property
    def encoder(self) -> SpeakerEncoder:
        """The speaker encoder of the embeddings."""
        return SpeakerEncoder.load(self.base.device)

    @cached_property
    def ecapa(self) -> EcapaEncoder | None:
        """The second speaker encoder, if its similarity is measured."""
        return EcapaEncoder.load(self.base.device) if ECAPA in self.scorer.metrics else None

    def data(self, speaker: str, method: str = "") -> SpeakerData:
        """Return the recordings of a speaker with the models that score them."""
        sentences = self.chosen[speaker]
        return SpeakerData(
            speaker,
            sentences.adapt_on,
            sentences.score_on,
            sentences.references,
            self.vocoder,
            self.scorer,
            self.encoder,
            self.config.seed,
            self.config.frames_per_step,
            self.config.cache_folder,
            self.ecapa,
            self.training_speakers.get(method),
            self.cached_results,
            self.warnings.append,
            self.computed,
        )

    def trials(self, speaker: str) -> Iterator[Piece]:
        """Yield the trials of a speaker in the order of the tables."""
        for name, method in self.config.learners.items():
            for sentences in method.sentences or self.config.sentences:
                for steps in method.step_counts(self.bases[name], self.config.steps):
                    yield Piece(speaker, name, sentences, steps)

    def missing(self) -> list[Piece]:
        """Return the pieces to compute: all recordings, and each missing trial once."""
        pieces, folders = list[Piece](), set[Path]()
        for speaker in self.chosen:
            pieces.append(Piece(speaker))
            for piece in self.trials(speaker):
                data, method = self.data(speaker, piece.method), self.config.learners[piece.method]
                folder = trial_folder(method, self.bases[piece.method], data, piece.sentences, piece.steps)
                if folder.parent not in folders and is_missing(folder, data):
                    folders.add(folder.parent)
                    pieces.append(piece)
        return pieces

    def trial(self, piece: Piece) -> Trial:
        """Return a trial, from the cache folder if it is there. Raises the errors of cloning."""
        method, data = self.config.learners[piece.method], self.data(piece.speaker, piece.method)
        return run_trial(piece.method, method, self.bases[piece.method], data, piece.sentences, piece.steps)

    def recordings(self, speaker: str) -> RecordingsResult:
        """Score the recordings of a speaker and their copy-synthesis."""
        data, rate = self.data(speaker), self.base.config.audio.mel.sample_rate
        spoken = [replace(clip, voice=speaker) for clip in data.score(self.base, {})]
        references = [(read_audio(reference.source, rate), rate) for reference in data.references]
        ecapa_voice = None if self.ecapa is None else voice_embedding(self.ecapa, references)
        voice = voice_embedding(self.encoder, references)
        return RecordingsResult(spoken, data.embed(spoken), voice, data.embed_ecapa(spoken), ecapa_voice)


def load_models(config: FewShotBenchmark, base_hash: str) -> Models:
    """Load the models of a recipe in a worker process. Raises the errors of `load_for_worker`."""
    return Models.create(config, *load_for_worker(config, base_hash))


@default_torch_state(preserve_rng=True)
def compute(models: Models, piece: Piece) -> PieceResult:
    """Compute a piece. A fault of a recording or a voice is returned, so that the other pieces are still computed.

    Raises UsageError for a wrong setting, which concerns all pieces.
    """
    models.computed.clear()
    models.warnings.clear()
    recordings, fault = None, None
    try:
        if piece.method:
            models.trial(piece)
        else:
            recordings = models.recordings(piece.speaker)
    except UsageError:
        raise
    except TtsMetaError as error:
        fault = error
    return PieceResult(frozenset(models.computed), recordings, tuple(models.warnings), fault)


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
    config: FewShotBenchmark, bases: Mapping[str, Base], manifest: Manifest | None
) -> dict[str, TrainingSpeakers]:
    """Return the training speakers of the base of each method whose learner needs them.

    Raises UsageError if there is no manifest to find their recordings in.
    """
    speakers, by_method = dict[str, TrainingSpeakers](), dict[str, TrainingSpeakers]()
    for name, method in config.learners.items():
        base = bases[name]
        if "trained_tasks" in method.choice(base).learner_class.needs:
            if manifest is None:
                raise UsageError(f"learners.{name} needs recordings of the training speakers; set manifest too")
            if base.hash not in speakers:
                speakers[base.hash] = TrainingSpeakers.of(base, manifest)
            by_method[name] = speakers[base.hash]
    return by_method
