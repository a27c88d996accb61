"""Mains hum and rumble: detection, and removal for measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tts_meta.audio.io import Waveform

_MAINS = (50.0, 60.0)
_HARMONICS = 10
_WINDOW_SECONDS = 0.4
_PROMINENT_DB, _PROMINENT_ALONE_DB = 9.0, 15.0
"""Height of a line above the bins around it: if other lines of the hum are found too, and if it is the only one."""
_QUANTILE = 0.15
"""Hum is continuous, so the power of a line is this quantile of its power over the windows."""
_VOICE_FROM = (60.0, 120.0)
"""Hz. Below the first frequency there is no voice; above the second there may be."""
_BLOCKS_PER_SECOND = 100


@dataclass(frozen=True)
class Hum:
    """Mains hum. frequency: 50 or 60 Hz. power: mean square of all its lines. lines: the prominent lines in Hz."""

    frequency: float
    power: float
    lines: tuple[float, ...]


def find_hum(samples: Waveform, rate: int) -> Hum | None:
    """Return the mains hum in `samples (S,)`, or None if no multiple of 50 or 60 Hz is prominent throughout."""
    size = 1 << round(np.log2(_WINDOW_SECONDS * rate))
    if len(samples) < 2 * size:
        return None
    window = np.hanning(size).astype(np.float32)
    starts = range(0, len(samples) - size + 1, size // 2)
    reach = int((_MAINS[-1] * _HARMONICS + 60) * size / rate)
    frames = np.stack([samples[start : start + size] * window for start in starts])
    power = np.abs(np.asarray(fft.rfft(frames))[:, :reach]) ** 2 / (window.sum() / 2) ** 2 / 2  # mean square of a tone
    steady = np.quantile(power, _QUANTILE, axis=0)
    candidates = [_hum_at(mains, steady, rate / size) for mains in _MAINS]
    best = max(candidates, key=lambda hum: hum.power)
    return best if best.lines else None


def _hum_at(mains: float, steady: NDArray[np.floating], width: float) -> Hum:
    """Return the hum at multiples of `mains` Hz in a power spectrum with bins of `width` Hz."""
    lines, levels, power = list[float](), list[float](), 0.0
    for harmonic in range(1, _HARMONICS + 1):
        index = round(mains * harmonic / width)
        around = np.concatenate([steady[max(0, index - 8) : max(0, index - 3)], steady[index + 4 : index + 9]])
        peak = float(steady[max(0, index - 1) : index + 2].max(initial=0.0))
        if not len(around) or peak <= 0:
            continue
        above = 10 * np.log10(peak / max(float(np.median(around)), 1e-20))
        if above > _PROMINENT_DB:
            lines.append(mains * harmonic)
            levels.append(above)
            power += peak
    if len(lines) < 2 and max(levels, default=0.0) < _PROMINENT_ALONE_DB:
        return Hum(mains, 0.0, ())
    return Hum(mains, power, tuple(lines))


def remove_hum_and_rumble(samples: Waveform, rate: int, hum: Hum | None) -> Waveform:
    """Return `samples (S,)` without rumble and without the lines of `hum`; for measurements, not for listening."""
    size = fft.next_fast_len(len(samples), real=True) or len(samples)
    spectrum = np.asarray(fft.rfft(samples.astype(np.float32), size))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    # The filter has a slope, because a steep edge would spread a click over a second.
    spectrum *= np.interp(frequencies, _VOICE_FROM, (0.0, 1.0)).astype(np.float32)
    clean = np.asarray(fft.irfft(spectrum, size))[: len(samples)]
    for line in hum.lines if hum is not None else ():
        if line > _VOICE_FROM[0]:
            clean = clean - _tone(clean, line, rate)
    return clean


def _tone(samples: Waveform, frequency: float, rate: int) -> Waveform:
    """Return the tone near `frequency` in `samples (S,)`; its amplitude and phase may change slowly."""
    block = round(rate / _BLOCKS_PER_SECOND)
    count = -(-len(samples) // block)
    phasor = np.exp(-2j * np.pi * frequency / rate * np.arange(count * block)).astype(np.complex64)
    padded = np.pad(samples, (0, count * block - len(samples)))
    sums = (padded * phasor).reshape(count, block).sum(axis=1)
    window = np.hanning(_BLOCKS_PER_SECOND)[: max(1, count)]
    # The division corrects the windows that reach beyond the ends of the recording.
    sizes = np.minimum(block, len(samples) - block * np.arange(count))
    amplitude = np.convolve(sums, window, "same") / np.convolve(sizes, window, "same")
    middles = block * (np.arange(count) + 0.5)
    indices = np.arange(len(samples))
    smooth = np.interp(indices, middles, amplitude.real) + 1j * np.interp(indices, middles, amplitude.imag)
    return (2 * np.real(smooth * phasor[: len(samples)].conj())).astype(np.float32)
