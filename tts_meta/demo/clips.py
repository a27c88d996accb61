"""Sentences as somebody says them, on disk, and how much they sound like the new speaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_meta.audio import MelSpec, read_audio, write_wav
from tts_meta.audio.io import Waveform
from tts_meta.evaluate import Scorer, SpeakerEncoder, voice_embedding

TRUTH, BASE, CLONE = "truth", "base", "clone"
SYSTEMS = (TRUTH, BASE, CLONE)
"""Who says the new sentences: the speaker, the base's mean voice, the clone. Each has a folder of that name."""


@dataclass(frozen=True, eq=False)
class Take:
    """One sentence in a WAV file; `mel` `(T, M)` is of what the file holds, at the rate of the base."""

    sentence: str
    file: Path
    seconds: float
    mel: Tensor


@dataclass(frozen=True, eq=False)
class JudgedTake:
    """A new sentence as one of `SYSTEMS` says it, and its similarity: cosine to the voice of the references."""

    system: str
    take: Take
    similarity: float


JudgedRow = Sequence[JudgedTake]
"""One new sentence, as each of `SYSTEMS` says it, in that order."""


def write_take(file: Path, sentence: str, samples: Waveform, rate: int, mel_spec: MelSpec) -> Take:
    """Write samples `(S,)` in [-1, 1] as a WAV file."""
    write_wav(file, samples, rate)
    heard = read_audio(file, mel_spec.config.sample_rate)
    with torch.inference_mode():
        mel = mel_spec(torch.from_numpy(heard)[None])[0]
    return Take(sentence, file, len(samples) / rate, mel.clone())


def judge(references: Sequence[Take], spoken: Mapping[str, Sequence[Take]], rate: int) -> list[JudgedRow]:
    """How much each system sounds like the references, sentence by sentence; all are read from disk at `rate` Hz."""
    voice = voice_embedding(SpeakerEncoder.load(), ((read_audio(take.file, rate), rate) for take in references))
    scorer = Scorer(["similarity"])

    def judged(system: str, take: Take) -> JudgedTake:
        scores = scorer.score(read_audio(take.file, rate), rate, id=str(take.file), system=system, voice=voice)
        return JudgedTake(system, take, scores["similarity"])

    rows = zip(*(spoken[system] for system in SYSTEMS), strict=True)
    return [[judged(system, take) for system, take in zip(SYSTEMS, row, strict=True)] for row in rows]


def mean_similarity(rows: Sequence[JudgedRow]) -> dict[str, float]:
    """Mean similarity over the new sentences, by system."""
    return {system: float(np.mean([row[place].similarity for row in rows])) for place, system in enumerate(SYSTEMS)}
