"""`TrainingSpeakers`: the training speakers of a base, for learners that use their offsets and embeddings.

These learners are `nearest` and `zero-shot`. They use only the mean speaker embedding of the recordings. The similarity
metric uses the same speaker encoder, which favours both learners.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_meta.audio import read_audio
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.similarity import voice_embedding
from tts_meta.meta import Task, TrainedTasks
from tts_meta.models.pretrained import Base
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder

TRAINING_SPEAKERS_VERSION = 1
"""Version of the embeddings. Increase this version when the same recordings would give other embeddings."""
_RECORDINGS = 10
"""Number of recordings in the mean embedding of each training speaker."""


@dataclass(frozen=True)
class TrainingSpeakers:
    """The training speakers of a base that have recordings. recordings: some utterances of each, by name."""

    base: Base
    recordings: Mapping[str, Sequence[Utterance]]

    @classmethod
    def of(cls, base: Base, manifest: Manifest) -> TrainingSpeakers:
        """Choose recordings of each training speaker in the manifest.

        Raises TtsMetaError if the manifest has no recording of a training speaker.
        """
        names = [name for name in base.speakers if name in manifest.speakers]
        if not names:
            raise TtsMetaError(
                "the manifest has no recording of a training speaker of the base; give a manifest that has some"
            )
        utterances = {name: manifest.of_speakers((name,)).utterances for name in names}
        return cls(base, {name: _spread(recordings) for name, recordings in utterances.items()})

    @cached_property
    def trained_tasks(self) -> TrainedTasks:
        """The capability `trained_tasks` of the acoustic model: names, offsets `(S, C)` and embeddings `(S, 256)`.

        `embed` reads the recordings of a task again. The support of the task consists of batches (`AcousticBatch`), and
        the ids of the sentences are the paths of the recordings, as `prepare_recordings` sets them.
        """
        encoder, names = SpeakerEncoder.load(self.base.device), tuple(self.recordings)
        rows = [self.base.speakers.index(name) for name in names]
        paths = ([utterance.source for utterance in utterances] for utterances in self.recordings.values())
        embeddings = torch.from_numpy(np.stack([self._embedding(encoder, audio) for audio in paths]))

        def embed(task: Task) -> Tensor:
            paths = sorted({Path(name) for part in task.support for name in part.batch.ids})
            return torch.from_numpy(self._embedding(encoder, paths))

        offsets = self.base.acoustic.speaker.offsets.detach()[rows].cpu()
        return TrainedTasks("speaker.mean", names, offsets, embeddings, embed)

    def _embedding(self, encoder: SpeakerEncoder, audio: Sequence[Path]) -> Embedding:
        """Return the unit mean embedding `(256,)` of recordings."""
        rate = self.base.config.audio.mel.sample_rate
        return voice_embedding(encoder, [(read_audio(path, rate), rate) for path in audio])


def _spread(utterances: Sequence[Utterance]) -> Sequence[Utterance]:
    """Return at most `_RECORDINGS` utterances at equal distances in the list."""
    return utterances[:: max(1, len(utterances) // _RECORDINGS)][:_RECORDINGS]
