"""The colour map of every picture and the scales along its sides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tts_meta.audio.mel import MelConfig


# 33 evenly spaced entries of "magma" (Smith and van der Walt 2015, CC0): lightness rises evenly from black to cream.
_MAGMA = """
000004 030312 0a0822 130d34 1d1147 29115a 36106b 440f76 51127c 5d177f 6a1c81 762181 832681 902a81 9c2e7f aa337d b73779
c43c75 d0416f dc4869 e75263 ef5d5e f56b5c f9795d fc8961 fd9869 fea772 feb67c fec488 fed395 fde2a3 fcf0b2 fcfdbf
"""
NOT_A_NUMBER = (0, 160, 160)
"""Colour of NaN and infinite values, found nowhere on the colour map."""
LOUDEST = 1.5
"""Log magnitude drawn brightest; the quietest is the floor of the features, so that pictures compare."""
_TICKS_HZ = (0, 500, 1000, 2000, 4000, 8000, 16000)


def palette() -> NDArray[np.uint8]:
    """Return the colour map `(256, 3)`: 255 steps from dark to bright, then the colour of what is not a number."""
    anchors = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in _MAGMA.split()], dtype=np.float64)
    places = np.linspace(0, len(anchors) - 1, 255)
    channels = [np.interp(places, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    colours = np.stack(channels, axis=1).round().astype(np.uint8)
    return np.concatenate([colours, np.array([NOT_A_NUMBER], dtype=np.uint8)])


def heat_indices(mel: NDArray[np.float32], config: MelConfig) -> NDArray[np.uint8]:
    """Return palette indices `(M, T)` of a log-mel `(T, M)`, low frequencies in the last row."""
    quietest = math.log(config.floor)
    finite = np.isfinite(mel)
    level = (np.where(finite, mel, quietest) - quietest) / (LOUDEST - quietest)
    indices = np.where(finite, np.clip(level, 0.0, 1.0) * 254.0, 255.0).round().astype(np.uint8)
    return np.ascontiguousarray(indices.T[::-1])


def frequency_ticks(config: MelConfig) -> list[tuple[float, str]]:
    """Return (height from the bottom as a part of the whole, label) along the mel axis (Slaney 1998)."""
    low, high = _hz_to_mel(config.f_min), _hz_to_mel(config.f_max)
    ticks = []
    for hertz in _TICKS_HZ:
        if config.f_min <= hertz <= config.f_max:
            label = f"{hertz / 1000:g}k" if hertz >= 1000 else f"{hertz}"
            ticks.append(((_hz_to_mel(hertz) - low) / (high - low), label))
    return ticks


def time_ticks(seconds: float, most: int = 8) -> list[tuple[float, str]]:
    """Return (place as a part of `seconds`, label) at round times, `most` of them or fewer."""
    steps = [base * 10.0**power for power in range(-3, 5) for base in (1, 2, 5)]
    step = next((step for step in steps if seconds / step < most), steps[-1])
    digits = max(0, -math.floor(math.log10(step)))
    return [(k * step / seconds, f"{k * step:.{digits}f}") for k in range(int(seconds / step + 1e-6) + 1)]


def _hz_to_mel(hertz: float) -> float:
    """Slaney's mel scale: linear below 1,000 Hz, logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)
