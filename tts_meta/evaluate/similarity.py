"""Does it sound like the speaker? Cosine to the speaker's real sentences, and the equal error rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.metric import Column, Judge, Measure, Metric, Sample, Settings
from tts_meta.evaluate.speaker_encoder import Embedding, SpeakerEncoder

_DRAWS = 1000
"""Bootstrap samples of an interval of the equal error rate."""


def voice_embedding(encoder: SpeakerEncoder, recordings: Iterable[tuple[object, int]]) -> Embedding:
    """Return the unit mean embedding (256,) of recordings, each (waveform (S,), rate in Hz).

    Five real sentences are the customary number. Score a real sentence against a mean that leaves it out.
    """
    embeddings = [encoder.embed(waveform, rate) for waveform, rate in recordings]
    return mean_embedding(embeddings)


def mean_embedding(embeddings: Sequence[Embedding]) -> Embedding:
    """Return the unit vector (256,) along the mean of unit vectors."""
    if not embeddings:
        raise UsageError("a mean voice needs at least one recording; give some")
    mean = np.mean(embeddings, axis=0)
    return mean / np.linalg.norm(mean)


def cosine(first: Embedding, second: Embedding) -> float:
    """Return the cosine of the angle between two embeddings (D,)."""
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def verification_scores(
    embeddings: Sequence[Embedding], speakers: Sequence[str], voices: Mapping[str, Embedding]
) -> tuple[list[float], list[float]]:
    """Return the cosines of utterances to their own speaker's voice, and to every other speaker's."""
    same: list[float] = []
    other: list[float] = []
    for embedding, speaker in zip(embeddings, speakers, strict=True):
        for name, voice in voices.items():
            (same if name == speaker else other).append(cosine(embedding, voice))
    return same, other


def equal_error_rate(same: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return the error rate at the threshold where as many true claims are refused as false ones are let through.

    `same` are the scores of true claims, `other` of false ones; between two thresholds the rates are interpolated
    linearly. 0 is perfect verification, 0.5 is chance. A copy of a voice is good when the rate of its utterances
    is no higher than that of the real ones.
    """
    true, false = np.sort(np.asarray(same, float)), np.sort(np.asarray(other, float))
    if not true.size or not false.size:
        raise UsageError("an equal error rate needs scores of true and of false claims; give at least two speakers")
    # One threshold just below each score, in rising order, and one above all.
    thresholds = np.append(np.unique(np.concatenate([true, false])), np.inf)
    refused = np.searchsorted(true, thresholds, "left") / true.size
    let_in = 1 - np.searchsorted(false, thresholds, "left") / false.size
    gap = refused - let_in  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = max(after - 1, 0)
    step = gap[after] - gap[before]
    share = 0.0 if step == 0 else -gap[before] / step
    return float(refused[before] + share * (refused[after] - refused[before]))


def error_rate_interval(
    embeddings: Sequence[Embedding], speakers: Sequence[str], voices: Mapping[str, Embedding], seed: int = 0
) -> Interval:
    """Return the equal error rate of utterances as claims to be any of the voices, with its 95 % interval.

    Drawn anew as for means: speakers, then of each its utterances; every utterance claims to be each voice.
    """
    who = np.asarray(speakers)
    claims = np.array([[cosine(embedding, voice) for voice in voices.values()] for embedding in embeddings])
    true = np.array([[name == speaker for name in voices] for speaker in speakers])
    groups = [np.flatnonzero(who == name) for name in dict.fromkeys(speakers)]
    generator, rates = np.random.default_rng(seed), []
    for _ in range(_DRAWS):
        drawn = [groups[place] for place in generator.integers(len(groups), size=len(groups))]
        picked = np.concatenate([group[generator.integers(len(group), size=len(group))] for group in drawn])
        rates.append(equal_error_rate(claims[picked][true[picked]], claims[picked][~true[picked]]))
    low, high = np.quantile(rates, [0.025, 0.975])
    return Interval(equal_error_rate(claims[true], claims[~true]), float(low), float(high), len(embeddings))


def _load(settings: Settings) -> Judge:
    encoder = SpeakerEncoder.load(settings.device)

    def judge(sample: Sample) -> dict[str, Measure]:
        assert sample.voice is not None
        try:
            embedding = encoder.embed(sample.waveform, sample.rate)
        except TtsMetaError:
            return {"similarity": Measure(0.0)}  # silence sounds like nobody
        return {"similarity": Measure(cosine(embedding, sample.voice))}

    return judge


METRIC = Metric((Column("similarity", "Similarity", 3, "higher"),), _load, needs=("voice",))
