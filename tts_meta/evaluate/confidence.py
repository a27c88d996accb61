"""How sure is a mean? Bootstrap over speakers, and over the sentences of each.

Sentences of one speaker are alike, so drawing sentences alone gives intervals that are too narrow for a claim about
new speakers. Here each draw takes as many speakers as there are, with replacement, then as many sentences of each,
with replacement (Davison and Hinkley 1997, section 3.8). With one speaker the interval speaks of that speaker only.
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
    """How many values went into the mean."""

    def shown(self, digits: int, signed: bool = False) -> str:
        """The mean, and the interval in brackets, as tables have them."""
        form = f"{'+' if signed else ''}.{digits}f"
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]"


def mean_interval(
    values: npt.ArrayLike,
    speakers: Sequence[str],
    weights: npt.ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean of values (N,), weighted, with its bootstrap interval at `level`.

    `speakers` (N,) says whose sentence each value judges; `weights` (N,) default to 1. Raises UsageError where there
    is nothing to average or the lengths differ.
    """
    value = np.asarray(values, float)
    weight = np.ones_like(value) if weights is None else np.asarray(weights, float)
    if value.ndim != 1 or not value.size or len(speakers) != value.size or weight.shape != value.shape:
        raise UsageError(f"an interval needs one speaker and one weight for each value; got {value.shape} values")
    who = np.asarray(speakers)
    groups = [np.flatnonzero(who == name) for name in dict.fromkeys(speakers)]
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
    """Return the mean of `first - second`, both (N,) on the same sentences, with its interval.

    Pairing takes out how hard each sentence and speaker is: two systems differ where this interval leaves out 0, even
    where their own intervals overlap.
    """
    one, two = np.asarray(first, float), np.asarray(second, float)
    if one.shape != two.shape:
        raise UsageError(f"a paired difference needs the same sentences twice; got {one.shape} and {two.shape} values")
    return mean_interval(one - two, speakers, weights, level, seed)
