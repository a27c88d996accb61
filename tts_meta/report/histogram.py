"""A histogram of one measure, wide enough for a phone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tts_meta.errors import UsageError
from tts_meta.report.figures import BAR_COLOUR, DPI, Rgb, rasterize

_BINS = 40
_TAIL = 0.002
"""Fraction of the values at each end that the first and the last bar contain, however far they are."""


def draw_histogram(values: NDArray[np.float64], label: str, y_label: str = "Recordings") -> Rgb:
    """Draw the distribution of finite values `(L,)`, with a line at the median. Raises UsageError without values.

    The axis ends where 0.2% of the values are beyond it; these values are counted in the bars at the ends.
    """
    from matplotlib.figure import Figure

    if not len(values):
        raise UsageError(f"a histogram of {label!r} needs at least one value")
    low, median, high = np.quantile(values, (_TAIL, 0.5, 1 - _TAIL))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    figure = Figure(figsize=(4.6, 2.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    red, green, blue = (channel / 255 for channel in BAR_COLOUR)
    axes.hist(np.clip(values, low, high), bins=_BINS, range=(low, high), color=(red, green, blue))
    axes.axvline(median, color="0.2", linestyle="--", linewidth=1)
    axes.set_title(label, fontsize=10)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return rasterize(figure)
