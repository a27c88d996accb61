"""Speaking rates far from the distribution of the speaker and of the corpus, in robust z-scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_Z = 4.5
"""Largest usual z-score."""
MAX_SAME_TEXT_RATIO = 1.6
"""Largest usual ratio of the speaking rates of two recordings of one text."""
_SHORT_TEXT = 60
"""A text of this many units has twice the variance of a long text, because of its few words and of its pauses."""
_SHRINK = 4
"""The median of a speaker with this many recordings has the same weight as the median of the corpus."""
_MIN_DEVIATION = 0.08
"""Smallest standard deviation of the logarithm of the rate. In LibriSpeech it is 0.09 within speakers."""
_MAD_TO_DEVIATION = 1.4826
"""Ratio of standard deviation and median absolute deviation of a normal distribution."""
_MIN_RECORDINGS = 8
_MIN_REPEATED_UNITS = 10


class Rates(NamedTuple):
    """Rates of recordings `(L,)`.

    rate: units per second. z_speaker, z_corpus: robust z-scores of the logarithm of the rate among the recordings of
    the speaker and of the corpus; 0 where the rate is not known. residual: logarithm of the rate relative to the
    speaker. deviation: usual standard deviation of the residual for a text of this length.
    """

    rate: NDArray[np.float64]
    z_speaker: NDArray[np.float64]
    z_corpus: NDArray[np.float64]
    residual: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def outliers(self) -> NDArray[np.int64]:
        """Return the indices of recordings whose rate is unusual for the speaker and not central in the corpus."""
        unusual = (np.abs(self.z_speaker) > MAX_Z) & (self.z_speaker * self.z_corpus > 0) & (np.abs(self.z_corpus) > 1)
        return np.flatnonzero(unusual)


def measure_rates(units: NDArray[np.int64], seconds: NDArray[np.float64], speaker: NDArray[np.int64]) -> Rates:
    """Return rates and z-scores. units: phonemes or letters `(L,)`. seconds, speaker: `(L,)`.

    With fewer than eight recordings all z-scores are 0.
    """
    known = (units > 0) & (seconds > 0)
    rate = np.where(known, units / np.maximum(seconds, 1e-3), 0.0)
    zeros = np.zeros(len(units))
    if known.sum() < _MIN_RECORDINGS:
        return Rates(rate, zeros, zeros, zeros, np.ones(len(units)))
    log_rate = np.log(np.where(known, np.maximum(rate, 1e-9), 1.0))
    spread = np.sqrt(1 + _SHORT_TEXT / np.maximum(units, 1))
    corpus_median = float(np.median(log_rate[known]))
    centre = np.full(len(units), corpus_median)
    for indices in _groups(speaker, known):
        weight = len(indices) / (len(indices) + _SHRINK)
        centre[indices] += weight * (float(np.median(log_rate[indices])) - corpus_median)
    residual = np.where(known, log_rate - centre, 0.0)
    from_corpus = np.where(known, log_rate - corpus_median, 0.0)
    deviation = _deviation((residual / spread)[known]) * spread
    corpus_deviation = _deviation((from_corpus / spread)[known]) * spread
    return Rates(rate, residual / deviation, from_corpus / corpus_deviation, residual, deviation)


def repeated_text_outliers(
    rates: Rates, units: NDArray[np.int64], text: NDArray[np.uint64]
) -> Iterator[tuple[int, float, int]]:
    """Yield recordings whose rate differs from that of other recordings of the same text.

    Yields index, ratio of its duration to the usual one (both relative to the speaker's rate), and number of
    recordings of the text. Of two recordings, the one with the more unusual rate is yielded.
    """
    for indices in _groups(text, (units >= _MIN_REPEATED_UNITS) & (rates.rate > 0)):
        if len(indices) < 2:
            continue
        residual = rates.residual[indices]
        usual = float(residual[np.argmin(np.abs(residual))] if len(indices) == 2 else np.median(residual))
        limit = np.maximum(np.log(MAX_SAME_TEXT_RATIO), MAX_Z * rates.deviation[indices])
        for index in np.flatnonzero(np.abs(residual - usual) > limit).tolist():
            yield int(indices[index]), float(np.exp(usual - residual[index])), len(indices)


def _groups(keys: NDArray, known: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of known recordings for each key."""
    order = np.argsort(keys, kind="stable")
    order = order[known[order]]
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def _deviation(values: NDArray[np.float64]) -> float:
    spread = float(np.median(np.abs(values - np.median(values))))
    return max(_MAD_TO_DEVIATION * spread, _MIN_DEVIATION)
