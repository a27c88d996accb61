"""Voices without a gradient: the training speaker that sounds nearest, and a mean of them all that fits a speaker.

Both know a new speaker by the mean embedding of the recordings alone, and speak by the base's own offsets. The judge of
similarity is the same encoder, which favours them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tts_meta.adapt import Voice
from tts_meta.audio import read_audio
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.similarity import cosine, voice_embedding
from tts_meta.evaluate.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.pretrained import Base

NEAREST_VERSION = ZERO_SHOT_VERSION = 1
"""Versions of the two methods. Increase one when the same recordings would give another voice."""
_RECORDINGS = 10
"""Recordings of each training speaker that its embedding is the mean of."""
_SHRINKAGE = 0.1
"""Ridge of the map from embeddings to offsets, as a part of the embeddings' mean squared length."""


@dataclass(frozen=True)
class TrainingSpeakerVoices:
    """The base's training speakers: unit embeddings `(S, 256)` of what they sound like, and how to speak so."""

    base: Base
    names: tuple[str, ...]
    embeddings: npt.NDArray[np.float32]
    encoder: SpeakerEncoder

    @classmethod
    def of(cls, base: Base, manifest: Manifest) -> TrainingSpeakerVoices:
        """Listen to recordings of the base's training speakers. Raises TtsMetaError where the manifest has none."""
        encoder = SpeakerEncoder.load()
        names = tuple(name for name in base.speakers if name in manifest.speakers)
        if not names:
            raise TtsMetaError("the manifest has no recording of the base's training speakers; give theirs")
        embeddings = []
        for name in names:
            own = manifest.of_speakers((name,)).utterances
            embeddings.append(_embedding(encoder, base, own[:: max(1, len(own) // _RECORDINGS)][:_RECORDINGS]))
        return cls(base, names, np.stack(embeddings), encoder)

    def nearest(self, recordings: Sequence[Utterance]) -> Voice:
        """The training speaker whose embedding has the largest cosine to that of the recordings."""
        own = _embedding(self.encoder, self.base, recordings)
        name = self.names[int(np.argmax([cosine(own, embedding) for embedding in self.embeddings]))]
        return self._voice(self._offsets()[self.names.index(name)], {"nearest": name})

    def zero_shot(self, recordings: Sequence[Utterance]) -> Voice:
        """The offset that a ridge regression over the training speakers reads off the recordings' embedding."""
        own = _embedding(self.encoder, self.base, recordings)
        centre, offsets = self.embeddings.mean(0), self._offsets()
        inputs, targets = self.embeddings - centre, offsets - offsets.mean(0)
        gram = inputs @ inputs.T
        ridge = _SHRINKAGE * np.trace(gram) / len(gram)
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), inputs @ (own - centre))
        return self._voice(offsets.mean(0) + weights @ targets, {})

    def _offsets(self) -> npt.NDArray[np.float32]:
        """`(S, E)`, from the mean voice."""
        places = [self.base.speakers.index(name) for name in self.names]
        return self.base.acoustic.speaker.offsets.detach()[places].numpy()

    def _voice(self, offset: npt.NDArray[np.floating], scores: dict[str, str]) -> Voice:
        delta = torch.from_numpy(np.asarray(offset, np.float32))
        return Voice({"speaker.mean": delta}, self.base.hash, ("speaker.mean",), 0, scores=scores)


def _embedding(encoder: SpeakerEncoder, base: Base, recordings: Sequence[Utterance]) -> Embedding:
    rate = base.config.audio.mel.sample_rate
    return voice_embedding(encoder, [(read_audio(one.audio, rate), rate) for one in recordings])
