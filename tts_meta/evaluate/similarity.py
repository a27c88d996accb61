"""Speaker similarity: the cosine to real sentences of the speaker, and the equal error rate (EER)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder


class Encoder(Protocol):
    """A speaker encoder: `SpeakerEncoder` or `EcapaEncoder`."""

    def embed(self, waveform: object, rate: int) -> Embedding:
        """Return the unit embedding (E,) of an utterance (S,) at `rate` Hz."""
        ...


_DRAWS = 1000
"""Number of bootstrap samples for an interval of the equal error rate."""


def voice_embedding(encoder: Encoder, recordings: Iterable[tuple[object, int]]) -> Embedding:
    """Return the unit mean embedding (E,) of recordings, each (waveform (S,), rate in Hz).

    Five real sentences are the usual number. Compare a real sentence with a mean that does not contain it.
    """
    embeddings = [encoder.embed(waveform, rate) for waveform, rate in recordings]
    return mean_embedding(embeddings)


def mean_embedding(embeddings: Sequence[Embedding]) -> Embedding:
    """Return the unit vector (E,) along the mean of unit vectors. Raises UsageError if there are none."""
    if not embeddings:
        raise UsageError("a mean embedding needs at least one recording; give some")
    mean = np.mean(embeddings, axis=0)
    return mean / np.linalg.norm(mean)


def cosine(first: Embedding, second: Embedding) -> float:
    """Return the cosine of the angle between two embeddings (D,)."""
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def verification_scores(
    embeddings: Sequence[Embedding], speakers: Sequence[str], voices: Mapping[str, Embedding]
) -> tuple[list[float], list[float]]:
    """Return the cosines of utterances to the voice of their speaker, and to the voices of all other speakers."""
    same: list[float] = []
    other: list[float] = []
    for embedding, speaker in zip(embeddings, speakers, strict=True):
        for name, voice in voices.items():
            (same if name == speaker else other).append(cosine(embedding, voice))
    return same, other


def equal_error_rate(same: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return the error rate at the threshold where the false rejection rate equals the false acceptance rate.

    same: scores of true claims. other: scores of false claims. Between two thresholds the rates are interpolated
    linearly. 0 is perfect verification, 0.5 is chance. A cloned voice is good if the rate of its utterances is not
    higher than the rate of real utterances. Raises UsageError if `same` or `other` is empty.
    """
    true, false = np.sort(np.asarray(same, float)), np.sort(np.asarray(other, float))
    if not true.size or not false.size:
        raise UsageError("an equal error rate needs scores of true and false claims; give at least two speakers")
    # There is one threshold just below each score, in increasing order, and one threshold above all scores.
    thresholds = np.append(np.unique(np.concatenate([true, false])), np.inf)
    rejected = np.searchsorted(true, thresholds, "left") / true.size
    accepted = 1 - np.searchsorted(false, thresholds, "left") / false.size
    return rate_at_crossing(rejected, accepted)


def rate_at_crossing(rejected: npt.NDArray[np.float64], accepted: npt.NDArray[np.float64]) -> float:
    """Return the rate at which two error rates `(T,)` at increasing thresholds are equal, by linear interpolation.

    rejected: false rejection rates, from 0 to 1. accepted: false acceptance rates, from 1 to 0.
    """
    gap = rejected - accepted  # increases from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = max(after - 1, 0)
    step = gap[after] - gap[before]
    fraction = 0.0 if step == 0 else -gap[before] / step
    return float(rejected[before] + fraction * (rejected[after] - rejected[before]))


def error_rate_interval(
    embeddings: Sequence[Embedding], speakers: Sequence[str], voices: Mapping[str, Embedding], seed: int = 0
) -> Interval:
    """Return the equal error rate of utterances, each compared with every voice, with its 95 % bootstrap interval.

    The bootstrap is the one of `mean_interval`: it draws speakers, then utterances of each speaker.
    """
    speaker_of_row = np.asarray(speakers)
    claims = np.array([[cosine(embedding, voice) for voice in voices.values()] for embedding in embeddings])
    true = np.array([[name == speaker for name in voices] for speaker in speakers])
    groups = [np.flatnonzero(speaker_of_row == name) for name in dict.fromkeys(speakers)]
    generator, rates = np.random.default_rng(seed), []
    for _ in range(_DRAWS):
        drawn = [groups[index] for index in generator.integers(len(groups), size=len(groups))]
        picked = np.concatenate([group[generator.integers(len(group), size=len(group))] for group in drawn])
        rates.append(equal_error_rate(claims[picked][true[picked]], claims[picked][~true[picked]]))
    low, high = np.quantile(rates, [0.025, 0.975])
    return Interval(equal_error_rate(claims[true], claims[~true]), float(low), float(high), len(embeddings))


def similarity_function(encoder: Encoder, name: str, voice_of: Callable[[Sample], Embedding | None]) -> MetricFunction:
    """Return the metric `name`: the cosine of a sentence to the voice by an encoder. Silence gets 0."""

    def score(sample: Sample) -> dict[str, Measure]:
        voice = voice_of(sample)
        assert voice is not None
        try:
            embedding = encoder.embed(sample.waveform, sample.rate)
        except TtsMetaError:
            return {name: Measure(0.0)}  # silence has no speaker
        return {name: Measure(cosine(embedding, voice))}

    return score


def _load(settings: Settings) -> MetricFunction:
    return similarity_function(SpeakerEncoder.load(settings.device), "similarity", lambda sample: sample.voice)


METRIC = Metric((Column("similarity", "Similarity", 3, "higher"),), _load, needs=("voice",))
