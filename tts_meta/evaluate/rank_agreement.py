"""Do two runs of meta-training find the same? How alike they order modules by σ, and which they find largest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval


@dataclass(frozen=True)
class Agreement:
    """Two runs' σ of the same modules beside each other.

    correlation: Spearman's, of the order of modules, with Fisher's interval. common: how many modules are among the
    `largest` of both; by chance `expected`. factor: what the one σ is of the other, up or down, for the median module.
    """

    correlation: Interval
    common: int
    largest: int
    expected: float
    factor: float


def agreement(one: Mapping[str, float], other: Mapping[str, float], largest: int) -> Agreement:
    """Compare σ by module name.

    Raises UsageError where the modules are not the same three or more, and for a count of `largest` beyond theirs.
    """
    from scipy.stats import pearsonr, rankdata  # a second, that other verbs need not wait for

    if len(one) < 3 or one.keys() != other.keys():
        odd = sorted(one.keys() ^ other.keys())
        why = f"'{odd[0]}' is in one of them only" if odd else "they have fewer than three"
        raise UsageError(f"the σ of two runs can be compared where their modules are the same; {why}")
    if not 0 < largest <= len(one):
        raise UsageError(f"there are {len(one)} modules; {largest} of them cannot be the largest")
    first, second = np.array([(one[name], other[name]) for name in one]).T
    ranks = rankdata([first, second], axis=1)
    correlation, spread = float(np.corrcoef(ranks)[0, 1]), pearsonr(*ranks).confidence_interval()
    tops = [set(sorted(sigmas, key=lambda name: -sigmas[name])[:largest]) for sigmas in (dict(one), dict(other))]
    factor = float(np.exp(np.median(np.abs(np.log(first / second)))))
    return Agreement(
        Interval(correlation, float(spread.low), float(spread.high), len(first)),
        len(tops[0] & tops[1]),
        largest,
        largest**2 / len(one),
        factor,
    )
