"""Detects recordings of a second speaker: splits the speaker embeddings into two clusters and compares the clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tts_meta.audio.io import Waveform
from tts_meta.models.speaker_encoder import SpeakerEncoder

_MIN_SECONDS = 2.0
"""Shorter recordings are ignored, because their embeddings are unreliable."""
SAME_SPEAKER_COSINE = 0.625
"""Two groups of recordings have different speakers if their mean cosine is below this value; see docs/audio.md."""


def recordings_of_other_speaker(recordings: Sequence[tuple[Path, Waveform]], rate: int) -> list[Path]:
    """Return the paths of recordings whose speaker is not the speaker of most recordings.

    recordings: paths with waveforms `(S,)`. rate: in Hz. The result is empty if all recordings have one speaker.
    """
    long = [(path, samples) for path, samples in recordings if len(samples) > _MIN_SECONDS * rate]
    if len(long) < 2:
        return []
    encoder = SpeakerEncoder.load()
    embeddings = np.stack([encoder.embed(samples, rate) for _, samples in long])
    first, second = two_clusters(embeddings)
    if mean_cosine(embeddings, first, second) >= SAME_SPEAKER_COSINE:
        return []
    minority = min(second, first, key=len)
    return [long[index][0] for index in sorted(minority)]


def mean_cosine(embeddings: NDArray[np.float32], first: Sequence[int], second: Sequence[int]) -> float:
    """Return the mean cosine between the unit `embeddings (N, 256)` of two groups of indices."""
    return float(np.mean(embeddings[list(first)] @ embeddings[list(second)].T))


def two_clusters(embeddings: NDArray[np.float32]) -> tuple[list[int], list[int]]:
    """Return the indices of the two clusters of `embeddings (N, 256)` by average linkage. N is at least 2."""
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(linkage(embeddings, "average", "cosine"), 2, "maxclust")
    first = [index for index, label in enumerate(labels) if label == labels[0]]
    second = [index for index, label in enumerate(labels) if label != labels[0]]
    return (first, second) if second else (first[:1], first[1:])
