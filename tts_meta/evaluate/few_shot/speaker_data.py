"""`SpeakerData`: the recordings, models and settings that all trials of one speaker share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tts_meta.corpus import Example, Utterance
from tts_meta.evaluate.cloning import align_utterances
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.training_speakers import TrainingSpeakers
from tts_meta.evaluate.voice import Spoken, score_voices
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.ecapa_encoder import EcapaEncoder
from tts_meta.models.pretrained import Base
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.vocoders.vocoder import Vocoder


@dataclass(frozen=True)
class SpeakerData:
    """The recordings of one speaker, to adapt on and to score, with the models that score them.

    references: recordings that similarity is measured to; they are neither adapted on nor scored.
    ecapa: the second speaker encoder, if its similarity is measured.
    training_speakers: the training speakers of the base, for learners that need them.
    cached_results: trials by key that are not computed again. computed: folders of the voices and trials that this
    run has computed.
    """

    speaker: str
    adapt_on: Sequence[Utterance]
    score_on: Sequence[Utterance]
    references: Sequence[Utterance]
    vocoder: Vocoder
    scorer: Scorer
    encoder: SpeakerEncoder
    seed: int
    frames_per_step: int
    folder: Path
    ecapa: EcapaEncoder | None = None
    training_speakers: TrainingSpeakers | None = None
    cached_results: Mapping[str, Trial] = field(default_factory=dict)
    report: Callable[[str], None] = lambda line: None
    computed: set[Path] = field(default_factory=set)

    def score(self, base: Base, voices: dict[str, tuple[AcousticModel, Vocoder]]) -> list[Spoken]:
        """Score the recordings, their copy-synthesis, and the same sentences by each voice."""
        return score_voices(
            base,
            voices,
            self.vocoder,
            self.score_on,
            self.scorer,
            self.references,
            self.folder / "scores",
        )

    def embed(self, spoken: Sequence[Spoken]) -> list[Embedding]:
        """Return the speaker embedding `(256,)` of each sentence."""
        return [self.encoder.embed(sentence.samples, sentence.rate) for sentence in spoken]

    def embed_ecapa(self, spoken: Sequence[Spoken]) -> list[Embedding]:
        """Return the embedding `(E,)` of each sentence by the second encoder; empty if there is none."""
        if self.ecapa is None:
            return []
        return [self.ecapa.embed(sentence.samples, sentence.rate) for sentence in spoken]

    def align(self, base: Base, utterances: Sequence[Utterance]) -> list[Example]:
        """Return examples of the utterances. Raises TtsMetaError with the path of a recording that cannot be used."""
        return align_utterances(utterances, base, self.speaker, self.report)
