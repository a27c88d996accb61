"""Detection of clipping: samples that are stuck at one level, also after a lossy codec.

Speech that is not clipped has fewer samples at its highest level than just below it, whatever that level is. Clipped
speech stays at its highest level. After a lossy codec such as MP3 it stays in a band around full scale.
"""

from __future__ import annotations

import numpy as np

from tts_meta.audio.io import Waveform

_MIN_CLIPPED = 10
"""Fewer stuck samples than this are not counted."""
_MIN_RANGE = 0.2
"""A quiet recording has few different levels, so several of its samples share the highest one."""
_HALF_STEP = 1.5e-5
"""Half a quantisation step of 16 bits."""
_FULL_SCALE, _BAND_WIDTHS = 0.999, (0.03, 0.1)
_EXACT_RATIO, _BAND_RATIO = 4.0, 1.5
_MIN_FLAT = 0.02
"""Fraction of the samples at the top whose two neighbours are there too; a pure tone has none."""


def clipped_fraction(samples: Waveform) -> float:
    """Return the fraction of the samples `(S, channels)` that are clipped, in the worst channel."""
    if len(samples) == 0:
        return 0.0
    return max(_count_stuck(samples[:, channel]) for channel in range(samples.shape[1])) / len(samples)


def _count_stuck(samples: Waveform) -> int:
    """Return how many of the samples `(S,)` are stuck at one level."""
    if float(samples.max() - samples.min()) <= _MIN_RANGE:
        return 0
    exact = sum(_count_at_top(side) for side in (samples, -samples))
    magnitudes = np.abs(samples)
    has_flat_band = magnitudes.max() > 1.0 and any(_is_dense_at_full_scale(magnitudes, width) for width in _BAND_WIDTHS)
    in_band = int(np.sum(magnitudes >= _FULL_SCALE)) if has_flat_band else 0
    stuck = max(exact, in_band)
    return stuck if stuck >= _MIN_CLIPPED else 0


def _is_dense_at_full_scale(magnitudes: Waveform, width: float) -> bool:
    """Return whether a band around full scale holds many more of the magnitudes `(S,)` than the band below it."""
    around = np.sum((magnitudes >= 1 - width) & (magnitudes < 1 + width))
    return bool(around > _BAND_RATIO * np.sum((magnitudes >= 1 - 3 * width) & (magnitudes < 1 - width)))


def _count_at_top(samples: Waveform) -> int:
    """Return how many samples `(S,)` have the highest level, or 0 if the top is not flat.

    The top is flat if several samples in a row have the highest level, and few have the level one step lower.
    """
    below = float(samples.max()) - samples
    at_top = below <= _HALF_STEP
    top = int(np.sum(at_top))
    in_a_row = int(np.sum(at_top[:-2] & at_top[1:-1] & at_top[2:]))
    just_below = np.sum((below > _HALF_STEP) & (below <= 3 * _HALF_STEP))
    return top if in_a_row >= max(2, _MIN_FLAT * top) and top > _EXACT_RATIO * just_below else 0
