"""What is in a recording besides speech: mains hum, rumble, clicks and bumps, measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tts_meta.audio.io import Waveform

_MAINS = (50.0, 60.0)
_HARMONICS = 10
_WINDOW_SECONDS = 0.4
_PROMINENT_DB, _ALONE_DB = 9.0, 15.0
_QUANTILE = 0.15
"""Hum is there all the time: a line counts as loud as it is in the quietest part of the windows."""
_VOICE_FROM = (60.0, 120.0)
"""Hz: nothing below the first is of a voice, all above the second may be."""
_BLOCKS_PER_SECOND = 100


@dataclass(frozen=True)
class Hum:
    """Mains hum. frequency: 50 or 60 Hz. power: mean square of all its lines. lines: Hz of those that stand out."""

    frequency: float
    power: float
    lines: tuple[float, ...]


def find_hum(samples: Waveform, rate: int) -> Hum | None:
    """The mains hum in `samples (S,)`, None where no line at a multiple of 50 or 60 Hz stands out all the time."""
    size = 1 << round(np.log2(_WINDOW_SECONDS * rate))
    if len(samples) < 2 * size:
        return None
    window = np.hanning(size).astype(np.float32)
    starts = range(0, len(samples) - size + 1, size // 2)
    reach = int((_MAINS[-1] * _HARMONICS + 60) * size / rate)
    frames = np.stack([samples[start : start + size] * window for start in starts])
    power = np.abs(np.asarray(fft.rfft(frames))[:, :reach]) ** 2 / (window.sum() / 2) ** 2 / 2  # mean square of a tone
    steady = np.quantile(power, _QUANTILE, axis=0)
    found = [_lines(steady, mains, rate / size) for mains in _MAINS]
    best = max(found, key=lambda hum: hum.power)
    return best if best.lines else None


def _lines(steady: NDArray[np.floating], mains: float, width: float) -> Hum:
    """Hum at multiples of `mains` Hz in a spectrum with bins of `width` Hz."""
    lines, levels, power = list[float](), list[float](), 0.0
    for number in range(1, _HARMONICS + 1):
        place = round(mains * number / width)
        around = np.concatenate([steady[max(0, place - 8) : max(0, place - 3)], steady[place + 4 : place + 9]])
        peak = float(steady[max(0, place - 1) : place + 2].max(initial=0.0))
        if not len(around) or peak <= 0:
            continue
        above = 10 * np.log10(peak / max(float(np.median(around)), 1e-20))
        if above > _PROMINENT_DB:
            lines.append(mains * number)
            levels.append(above)
            power += peak
    if len(lines) < 2 and max(levels, default=0.0) < _ALONE_DB:
        return Hum(mains, 0.0, ())
    return Hum(mains, power, tuple(lines))


def remove_hum_and_rumble(samples: Waveform, rate: int, hum: Hum | None) -> Waveform:
    """`samples (S,)` without what lies below the voice and without the lines of hum; for measuring, not for hearing."""
    size = fft.next_fast_len(len(samples), real=True) or len(samples)
    spectrum = np.asarray(fft.rfft(samples.astype(np.float32), size))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    # A slope, not an edge: an edge spreads a click over a second.
    spectrum *= np.interp(frequencies, _VOICE_FROM, (0.0, 1.0)).astype(np.float32)
    clean = np.asarray(fft.irfft(spectrum, size))[: len(samples)]
    for line in hum.lines if hum is not None else ():
        if line > _VOICE_FROM[0]:
            clean = clean - _tone(clean, line, rate)
    return clean


def _tone(samples: Waveform, frequency: float, rate: int) -> Waveform:
    """The part of `samples (S,)` that is a tone near a frequency, whose size and phase change slowly."""
    block = round(rate / _BLOCKS_PER_SECOND)
    count = -(-len(samples) // block)
    turn = np.exp(-2j * np.pi * frequency / rate * np.arange(count * block)).astype(np.complex64)
    padded = np.pad(samples, (0, count * block - len(samples)))
    means = (padded * turn).reshape(count, block).sum(axis=1)
    window = np.hanning(_BLOCKS_PER_SECOND)[: max(1, count)]
    # Divided by what of the window lies inside, so that the tone is whole at both ends.
    sizes = np.minimum(block, len(samples) - block * np.arange(count))
    amplitude = np.convolve(means, window, "same") / np.convolve(sizes, window, "same")
    middles = block * (np.arange(count) + 0.5)
    places = np.arange(len(samples))
    smooth = np.interp(places, middles, amplitude.real) + 1j * np.interp(places, middles, amplitude.imag)
    return (2 * np.real(smooth * turn[: len(samples)].conj())).astype(np.float32)
