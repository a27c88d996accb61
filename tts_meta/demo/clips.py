"""Writes the sentences of the demo as WAV files and measures their similarity to the new speaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_meta.audio import MelSpec, read_audio, write_wav
from tts_meta.audio.io import Waveform
from tts_meta.evaluate import Scorer, Settings, SpeakerEncoder, voice_embedding

REAL, BASE, CLONE = "real", "base", "clone"
SYSTEMS = (REAL, BASE, CLONE)
"""Sources of the new sentences: the speaker, the mean voice of the base, the clone. Each has a folder of that name."""


@dataclass(frozen=True, eq=False)
class SentenceClip:
    """One sentence in a WAV file. mel: log-mel `(T, M)` of the file at the sample rate of the base."""

    sentence: str
    file: Path
    seconds: float
    mel: Tensor


@dataclass(frozen=True, eq=False)
class ScoredClip:
    """A new sentence by one of `SYSTEMS`, and its similarity: the cosine to the voice of the references."""

    system: str
    clip: SentenceClip
    similarity: float


ScoredRow = Sequence[ScoredClip]
"""One new sentence by each of `SYSTEMS`, in that order."""


def write_clip(file: Path, sentence: str, samples: Waveform, rate: int, mel_spec: MelSpec) -> SentenceClip:
    """Write samples `(S,)` in [-1, 1] at `rate` Hz as a WAV file, and return the clip."""
    write_wav(file, samples, rate)
    waveform = read_audio(file, mel_spec.config.sample_rate)
    with torch.inference_mode():
        mel = mel_spec(torch.from_numpy(waveform)[None])[0]
    return SentenceClip(sentence, file, len(samples) / rate, mel.clone())


def score_similarity(
    references: Sequence[SentenceClip],
    spoken: Mapping[str, Sequence[SentenceClip]],
    rate: int,
    device: torch.device,
) -> list[ScoredRow]:
    """Return the similarity of each sentence of each system to the references. All files are read at `rate` Hz."""
    voice = voice_embedding(SpeakerEncoder.load(device), ((read_audio(clip.file, rate), rate) for clip in references))
    scorer = Scorer(["similarity"], Settings(str(device)))

    def scored(system: str, clip: SentenceClip) -> ScoredClip:
        scores = scorer.score(read_audio(clip.file, rate), rate, id=str(clip.file), system=system, voice=voice)
        return ScoredClip(system, clip, scores["similarity"])

    rows = zip(*(spoken[system] for system in SYSTEMS), strict=True)
    return [[scored(system, clip) for system, clip in zip(SYSTEMS, row, strict=True)] for row in rows]


def mean_similarity(rows: Sequence[ScoredRow]) -> dict[str, float]:
    """Return the mean similarity over the new sentences, by system."""
    return {system: float(np.mean([row[index].similarity for row in rows])) for index, system in enumerate(SYSTEMS)}
