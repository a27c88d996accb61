"""Where the speech of a recording is, and how loud it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tts_meta.audio.interference import find_hum, remove_hum_and_rumble
from tts_meta.audio.io import Waveform
from tts_meta.config import AudioConfig
from tts_meta.errors import TtsMetaError

FRAME, STEP = 1024, 256
"""Samples of a frame whose level is measured, and from one to the next."""
_SILENCE_DB = -60.0
_ACTIVE_DB = 30.0

# Where a bump, hum or noise is found, the second measurement decides instead of the first.
_SPEECH_CUT, _NOISE_KEPT, _EVENT_KEPT, _CHANGED_DB = 0.3, 0.7, 0.5, 2.5  # seconds, seconds, seconds, dB
_PEAK_FRAMES = 43  # half a second: no bump is as long
_ABOVE_SPEECH_DB = 14.0  # how far single frames of speech rise above the loudest half second
_CLICK_FRAMES, _BUMP_FRAMES, _GAP_FRAMES = 9, 30, 26
_LOUD_BLOCKS = 18  # of `STEP` samples, a fifth of a second: longer than a click or the start of a bump
_ABOVE_NOISE_DB, _LEAST_RANGE_DB = 6.0, 15.0
_PAD_IN_NOISE = 0.15  # seconds more at each end, where noise hides how speech begins
_CREST = 1.5


@dataclass(frozen=True)
class Extent:
    """Where speech begins and ends, in samples, what brings it to the wanted loudness, and the peak it has then."""

    start: int
    end: int
    gain: np.floating
    peak: float
    events: bool = False
    """Whether a click or a bump was left out at an end."""


def prepare_waveform(samples: Waveform, config: AudioConfig, name: str = "recording") -> Waveform:
    """Trim silence at both ends and bring the active part to one loudness: `(S,)` to `(S',)`, float32.

    A constant offset is taken out. The speech decides, not a click, a bump, hum, rumble or steady noise: the recording
    is measured as it is and without them, and the second measurement is taken where the two differ much. Raises
    TtsMetaError naming the recording where all of it is silent.
    """
    samples = samples - samples.mean()
    levels = levels_db(samples)
    if levels.max() < _SILENCE_DB:
        raise TtsMetaError(f"{name}: silent throughout; check the microphone and record it again")
    extent = _plain_extent(samples, levels, config)
    robust = _robust_extent(samples, config)
    if robust is not None and _differ(extent, robust, config.mel.sample_rate):
        extent = robust
    trimmed = samples[extent.start : extent.end] * extent.gain / max(1.0, extent.peak)
    return np.clip(trimmed, -1.0, 1.0).astype(np.float32)


def levels_db(samples: Waveform) -> Waveform:
    """Root mean square of overlapping frames, dB of full scale, `(frames,)`."""
    if len(samples) < FRAME:
        samples = np.pad(samples, (0, FRAME - len(samples)))
    squares = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, len(samples) - FRAME + 1, STEP)
    power = (squares[starts + FRAME] - squares[starts]) / FRAME
    return (10 * np.log10(np.maximum(power, 1e-12))).astype(np.float32)


def _plain_extent(samples: Waveform, levels: Waveform, config: AudioConfig) -> Extent:
    """By the loudest frame alone."""
    loud = np.flatnonzero(levels > levels.max() - config.trim_db)
    active = levels[levels > levels.max() - _ACTIVE_DB]
    start, end = _padded(loud, len(samples), config.trim_pad, config.mel.sample_rate)
    gain = _gain(active, config)
    return Extent(start, end, gain, float(np.abs(samples[start:end] * gain).max()))


def _robust_extent(samples: Waveform, config: AudioConfig) -> Extent | None:
    """By what is left without hum, rumble, clicks and noise; None where that is nothing."""
    rate = config.mel.sample_rate
    clean = remove_hum_and_rumble(samples, rate, find_hum(samples, rate))
    levels = levels_db(clean)
    audible = np.sort(levels[levels > max(float(levels.max()) - 60, _SILENCE_DB)])
    if not len(audible):
        return None
    top = float(audible[-min(_PEAK_FRAMES, -(-len(audible) // 3))]) + _ABOVE_SPEECH_DB
    top = min(top, float(levels.max()))
    noise = float(np.quantile(levels, 0.1))
    in_noise = min(noise + _ABOVE_NOISE_DB, top - _LEAST_RANGE_DB)
    audible_frames = levels > max(top - config.trim_db, in_noise)
    loud = _without_bumps(audible_frames, clean, samples)
    if not len(loud):
        return None
    pad = config.trim_pad + (_PAD_IN_NOISE if in_noise > top - config.trim_db else 0.0)
    start, end = _padded(loud, len(samples), pad, rate)
    events = int(audible_frames.sum()) > len(loud)
    speech = levels[loud[0] : loud[-1] + 1]
    active = speech[(speech > top - _ACTIVE_DB) & (speech <= top)]
    if not len(active):
        return None
    gain = _gain(active, config)
    return Extent(start, end, gain, _peak_without_clicks(samples[start:end]) * float(gain), events)


def _without_bumps(loud: NDArray[np.bool_], clean: Waveform, samples: Waveform) -> NDArray[np.intp]:
    """Frames that are loud, without short events far from the rest at either end.

    A click is shorter than any sound of speech. A bump is longer, and most of it lies below the voice.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(np.int8), [0]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

    def is_event(begin: int, end: int) -> bool:
        if end - begin <= _CLICK_FRAMES:
            return True
        part = slice(begin * STEP, end * STEP + FRAME)
        low = np.sum((samples[part] - clean[part]) ** 2)
        return end - begin <= _BUMP_FRAMES and bool(low > np.sum(clean[part] ** 2))

    while len(runs) > 1 and runs[1][0] - runs[0][1] >= _GAP_FRAMES and is_event(*runs[0]):
        runs.pop(0)
    while len(runs) > 1 and runs[-1][0] - runs[-2][1] >= _GAP_FRAMES and is_event(*runs[-1]):
        runs.pop()
    return np.concatenate([np.arange(begin, end) for begin, end in runs] or [np.arange(0)])


def _peak_without_clicks(samples: Waveform) -> float:
    """The highest magnitude in `samples (S,)` that is not that of a click or bump."""
    blocks = np.abs(samples[: len(samples) // STEP * STEP]).reshape(-1, STEP)
    if not len(blocks):
        return float(np.abs(samples).max())
    peaks = np.sort(blocks.max(axis=1))
    return min(float(np.abs(samples).max()), _CREST * float(peaks[-min(_LOUD_BLOCKS, -(-len(peaks) // 4))]))


def _differ(first: Extent, second: Extent, rate: int) -> bool:
    """Whether the first measurement cuts speech that the second finds, keeps noise, or has another loudness."""
    wider = max(first.start - second.start, second.end - first.end) / rate
    narrower = max(second.start - first.start, first.end - second.end) / rate
    gains = [20 * np.log10(extent.gain / max(1.0, extent.peak)) for extent in (first, second)]
    kept = _EVENT_KEPT if second.events else _NOISE_KEPT
    return wider > _SPEECH_CUT or narrower > kept or abs(gains[0] - gains[1]) > _CHANGED_DB


def _padded(loud: NDArray[np.intp], length: int, seconds: float, rate: int) -> tuple[int, int]:
    pad = round(seconds * rate)
    return max(0, int(loud[0]) * STEP - pad), min(length, int(loud[-1]) * STEP + FRAME + pad)


def _gain(levels: NDArray[np.floating], config: AudioConfig) -> np.floating:
    """What brings frames of these levels to the wanted loudness."""
    return 10 ** ((config.loudness - 10 * np.log10(np.mean(10 ** (levels / 10)))) / 20)
