"""Whether the recordings are of one speaker: two groups of them that the speaker encoder tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tts_meta.audio.io import Waveform
from tts_meta.models.speaker_encoder import SpeakerEncoder

_LEAST_SECONDS = 2.0
"""Shorter recordings say too little of a voice."""
DIFFERENT = 0.625
"""Mean cosine between the two groups' embeddings below which they are of two speakers; see docs/audio.md."""


def other_voice(recordings: Sequence[tuple[Path, Waveform]], rate: int) -> list[Path]:
    """Those of the recordings, each a waveform `(S,)`, that another speaker than most seems to have made; or none."""
    long = [(path, samples) for path, samples in recordings if len(samples) > _LEAST_SECONDS * rate]
    if len(long) < 2:
        return []
    encoder = SpeakerEncoder.load()
    embeddings = np.stack([encoder.embed(samples, rate) for _, samples in long])
    first, second = two_groups(embeddings)
    if between(embeddings, first, second) >= DIFFERENT:
        return []
    fewer = min(second, first, key=len)
    return [long[place][0] for place in sorted(fewer)]


def between(embeddings: NDArray[np.float32], first: Sequence[int], second: Sequence[int]) -> float:
    """Mean cosine of the unit `embeddings (N, 256)` of one group with those of the other."""
    return float(np.mean(embeddings[list(first)] @ embeddings[list(second)].T))


def two_groups(embeddings: NDArray[np.float32]) -> tuple[list[int], list[int]]:
    """The two groups that average-linkage clustering finds among `embeddings (N, 256)`, N at least 2."""
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(linkage(embeddings, "average", "cosine"), 2, "maxclust")
    first = [place for place, label in enumerate(labels) if label == labels[0]]
    second = [place for place, label in enumerate(labels) if label != labels[0]]
    return (first, second) if second else (first[:1], first[1:])
