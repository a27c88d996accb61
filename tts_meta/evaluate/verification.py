"""Equal error rate of a speaker encoder on real recordings: each sentence against each other sentence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.similarity import rate_at_crossing
from tts_meta.models.speaker_encoder import Embedding

_DRAWS = 1000
"""Number of bootstrap samples for an interval."""
Embeddings = Mapping[str, npt.NDArray[np.float32]]
"""Embeddings `(U, E)` of the sentences of each speaker."""


def pair_error_rate(embeddings: Embeddings) -> float:
    """Return the equal error rate of all pairs of sentences. Raises UsageError as `pair_error_rate_interval`."""
    pairs = _Pairs(embeddings)
    return pairs.error_rate(np.ones(len(embeddings)))


def pair_error_rate_interval(embeddings: Embeddings, seed: int = 0) -> Interval:
    """Return the equal error rate of all pairs of sentences with its 95 % bootstrap interval over speakers.

    A pair is a true claim if both sentences are of the same speaker. Each draw takes as many speakers as there are,
    with replacement. A speaker that is drawn n times counts n times in its true claims, and two speakers that are
    drawn n and m times count n m times in their false claims. `count` is the number of sentences. Raises UsageError
    for fewer than two speakers, or if no speaker has two sentences.
    """
    pairs, speakers = _Pairs(embeddings), len(embeddings)
    generator, rates = np.random.default_rng(seed), list[float]()
    while len(rates) < _DRAWS:
        drawn = np.bincount(generator.integers(speakers, size=speakers), minlength=speakers)
        if (drawn > 0).sum() > 1 and pairs.has_true_claims(drawn):
            rates.append(pairs.error_rate(drawn))
    low, high = np.quantile(rates, [0.025, 0.975])
    count = sum(len(rows) for rows in embeddings.values())
    return Interval(pairs.error_rate(np.ones(speakers)), float(low), float(high), count)


def cohort_mean(embeddings: Mapping[str, npt.NDArray[np.float32]]) -> Embedding:
    """Return the mean `(E,)` of embeddings of a cohort, in which every speaker has the same weight."""
    return np.mean([rows.mean(0) for rows in embeddings.values()], axis=0).astype(np.float32)


class _Pairs:
    """The cosines of all pairs of sentences, by increasing cosine."""

    def __init__(self, embeddings: Embeddings) -> None:
        if len(embeddings) < 2 or max(map(len, embeddings.values())) < 2:
            raise UsageError("an equal error rate needs two speakers, one of them with two sentences; give more")
        rows = np.concatenate([np.asarray(rows, float) for rows in embeddings.values()])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        speakers = np.repeat(np.arange(len(embeddings)), [len(rows) for rows in embeddings.values()])
        first, second = np.triu_indices(len(rows), 1)
        self.first, self.second = speakers[first], speakers[second]
        # Rounding makes equal pairs equal.
        _, self.rank = np.unique((rows @ rows.T)[first, second].round(9), return_inverse=True)
        self.same = self.first == self.second

    def has_true_claims(self, weights: npt.NDArray[np.generic]) -> bool:
        return bool(np.asarray(weights, float)[self.first[self.same]].any())

    def error_rate(self, weights: npt.NDArray[np.generic]) -> float:
        """Return the equal error rate if each speaker has the weight `weights[speaker]`."""
        weight = np.asarray(weights, float)
        true = np.bincount(self.rank, np.where(self.same, weight[self.first], 0))
        false = np.bincount(self.rank, np.where(self.same, 0, weight[self.first] * weight[self.second]))
        rejected, accepted = np.cumsum(true) / true.sum(), 1 - np.cumsum(false) / false.sum()
        return rate_at_crossing(np.append(0.0, rejected), np.append(1.0, accepted))
