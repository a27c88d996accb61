"""Agreement of two meta-training runs: rank correlation of the learned σ, and overlap of the modules of largest σ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval


@dataclass(frozen=True)
class Agreement:
    """A comparison of the σ of two runs for the same modules.

    correlation: Spearman's rank correlation over modules, with Fisher's interval. common: number of modules that
    are among the `largest` modules of both runs. expected: expected value of `common` for random orders. factor:
    median over modules of the ratio of the larger to the smaller of the two σ.
    """

    correlation: Interval
    common: int
    largest: int
    expected: float
    factor: float


def agreement(one: Mapping[str, float], other: Mapping[str, float], largest: int) -> Agreement:
    """Compare the σ of two runs. one, other: σ by module name.

    Raises UsageError if the modules differ, if there are fewer than three modules, or if `largest` is not between 1
    and the number of modules.
    """
    from scipy.stats import pearsonr, rankdata  # slow import (1 s)

    if len(one) < 3 or one.keys() != other.keys():
        unshared = sorted(one.keys() ^ other.keys())
        reason = f"only one run has '{unshared[0]}'" if unshared else "there are fewer than three modules"
        raise UsageError(f"the σ of two runs can be compared only for the same three or more modules; {reason}")
    if not 0 < largest <= len(one):
        raise UsageError(f"largest is {largest}; give a number from 1 to {len(one)}, the number of modules")
    first, second = np.array([(one[name], other[name]) for name in one]).T
    ranks = rankdata([first, second], axis=1)
    correlation, interval = float(np.corrcoef(ranks)[0, 1]), pearsonr(*ranks).confidence_interval()
    tops = [set(sorted(sigmas, key=lambda name: -sigmas[name])[:largest]) for sigmas in (dict(one), dict(other))]
    factor = float(np.exp(np.median(np.abs(np.log(first / second)))))
    return Agreement(
        Interval(correlation, float(interval.low), float(interval.high), len(first)),
        len(tops[0] & tops[1]),
        largest,
        largest**2 / len(one),
        factor,
    )
