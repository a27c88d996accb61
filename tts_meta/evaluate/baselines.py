"""Baselines without gradients: the nearest training speaker, and a speaker vector regressed from an embedding.

Both baselines use only the mean speaker embedding of the recordings and the speaker offsets of the base. The similarity
metric uses the same speaker encoder, which favours both baselines.
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
from tts_meta.models.pretrained import Base
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder

NEAREST_VERSION = ZERO_SHOT_VERSION = 1
"""Versions of the two methods. Increase the version of a method when the same recordings would give another voice."""
_RECORDINGS = 10
"""Number of recordings in the mean embedding of each training speaker."""
_SHRINKAGE = 0.1
"""Ridge of the regression from embeddings to offsets, as a fraction of the mean squared norm of the embeddings."""


@dataclass(frozen=True)
class TrainingSpeakerVoices:
    """The training speakers of the base: unit embeddings `(S, 256)`, and voices made from their offsets."""

    base: Base
    names: tuple[str, ...]
    embeddings: npt.NDArray[np.float32]
    encoder: SpeakerEncoder

    @classmethod
    def of(cls, base: Base, manifest: Manifest) -> TrainingSpeakerVoices:
        """Embed recordings of the training speakers and return the voices.

        Raises TtsMetaError if the manifest has no recording of a training speaker.
        """
        encoder = SpeakerEncoder.load(base.device)
        names = tuple(name for name in base.speakers if name in manifest.speakers)
        if not names:
            raise TtsMetaError(
                "the manifest has no recording of a training speaker of the base; give a manifest that has some"
            )
        embeddings = []
        for name in names:
            utterances = manifest.of_speakers((name,)).utterances
            chosen = utterances[:: max(1, len(utterances) // _RECORDINGS)][:_RECORDINGS]
            embeddings.append(_embedding(encoder, base, chosen))
        return cls(base, names, np.stack(embeddings), encoder)

    def nearest(self, recordings: Sequence[Utterance]) -> Voice:
        """Return the voice of the nearest training speaker.

        The embedding of this speaker has the largest cosine to the embedding of the recordings.
        """
        target = _embedding(self.encoder, self.base, recordings)
        name = self.names[int(np.argmax([cosine(target, embedding) for embedding in self.embeddings]))]
        return self._voice(self._offsets()[self.names.index(name)], {"nearest": name})

    def zero_shot(self, recordings: Sequence[Utterance]) -> Voice:
        """Return the voice that a ridge regression predicts from the mean embedding of the recordings.

        The regression predicts the speaker offset of the voice. It is fitted to the training speakers.
        """
        target = _embedding(self.encoder, self.base, recordings)
        centre, offsets = self.embeddings.mean(0), self._offsets()
        inputs, targets = self.embeddings - centre, offsets - offsets.mean(0)
        gram = inputs @ inputs.T
        ridge = _SHRINKAGE * np.trace(gram) / len(gram)
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), inputs @ (target - centre))
        return self._voice(offsets.mean(0) + weights @ targets, {})

    def _offsets(self) -> npt.NDArray[np.float32]:
        """Return the speaker offsets `(S, E)` relative to the mean voice."""
        indices = [self.base.speakers.index(name) for name in self.names]
        return self.base.acoustic.speaker.offsets.detach()[indices].cpu().numpy()

    def _voice(self, offset: npt.NDArray[np.floating], scores: dict[str, str]) -> Voice:
        delta = torch.from_numpy(np.asarray(offset, np.float32))
        return Voice({"speaker.mean": delta}, self.base.hash, ("speaker.mean",), 0, scores=scores)


def _embedding(encoder: SpeakerEncoder, base: Base, recordings: Sequence[Utterance]) -> Embedding:
    rate = base.config.audio.mel.sample_rate
    return voice_embedding(encoder, [(read_audio(recording.audio, rate), rate) for recording in recordings])
