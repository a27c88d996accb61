"""Confidence intervals of means: a bootstrap over speakers and over the sentences of each speaker.

Sentences of one speaker are similar. A bootstrap over sentences alone therefore gives intervals that are too narrow for
a claim about new speakers. Each draw of this bootstrap takes as many speakers as there are, with replacement. For each
drawn speaker it takes as many sentences as the speaker has, with replacement (Davison and Hinkley 1997, section 3.8).
With one speaker, the interval is for that speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tts_meta.errors import UsageError

DRAWS = 2_000


@dataclass(frozen=True)
class Interval:
    """A weighted mean and the percentile bootstrap interval around it."""

    mean: float
    low: float
    high: float
    count: int
    """Number of values in the mean."""

    def shown(self, digits: int, signed: bool = False) -> str:
        """Return the mean and the interval in brackets, as in tables. signed: with a plus sign for positive numbers."""
        form = f"{'+' if signed else ''}.{digits}f"
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]"


def mean_interval(
    values: npt.ArrayLike,
    speakers: Sequence[str],
    weights: npt.ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the weighted mean of values (N,), with its bootstrap interval at `level`.

    speakers: speakers (N,) of the sentences. weights: (N,), 1 by default. Raises UsageError if there are no values
    or the lengths differ.
    """
    value = np.asarray(values, float)
    weight = np.ones_like(value) if weights is None else np.asarray(weights, float)
    if value.ndim != 1 or not value.size or len(speakers) != value.size or weight.shape != value.shape:
        raise UsageError(
            f"an interval needs one speaker and one weight for each value; got values of shape {value.shape}"
        )
    speaker_of_value = np.asarray(speakers)
    groups = [np.flatnonzero(speaker_of_value == name) for name in dict.fromkeys(speakers)]
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(groups), size=(DRAWS, len(groups)))
    totals = np.zeros((*drawn.shape, 2))
    for index, group in enumerate(groups):
        slots = drawn == index
        picked = group[generator.integers(group.size, size=(int(slots.sum()), group.size))]
        totals[slots] = np.stack([(value * weight)[picked].sum(1), weight[picked].sum(1)], axis=-1)
    sums = totals.sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.average(value, weights=weight)), float(low), float(high), value.size)


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    speakers: Sequence[str],
    weights: npt.ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean difference of two scores of the same sentences, with its interval.

    first, second: scores (N,); the difference is `first - second`. Pairing removes the difficulty of each sentence
    and speaker. Two systems differ if this interval does not contain 0, even if their two intervals overlap. Raises
    UsageError if the shapes differ.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape:
        raise UsageError(f"a paired difference needs two scores of each sentence; got shapes {a.shape} and {b.shape}")
    return mean_interval(a - b, speakers, weights, level, seed)
