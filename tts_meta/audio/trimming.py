"""Trimming and loudness normalisation: cut the silence at both ends and scale the speech to one loudness.

The extent of the speech is measured twice: from the levels of the recording, and from the levels without hum, rumble,
clicks and noise. The second (robust) measurement is used only if the two differ by more than the limits below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tts_meta.audio.interference import find_hum, remove_hum_and_rumble
from tts_meta.audio.io import Waveform
from tts_meta.audio.levels import FRAME, STEP, levels_db
from tts_meta.audio.mel import MelConfig
from tts_meta.config import Section
from tts_meta.errors import TtsMetaError

_SILENCE_DB = -60.0
_ACTIVE_DB = 30.0

# Limits of `_differ`.
_MAX_CUT_SPEECH = 0.3
"""Seconds of speech that the first measurement may cut."""
_MAX_KEPT_NOISE, _MAX_KEPT_NOISE_WITH_EVENT = 0.7, 0.5
"""Seconds of noise that the first measurement may keep: without, and with, a click or a bump at an end."""
_MAX_LOUDNESS_DIFFERENCE_DB = 2.5

_PEAK_FRAMES = 43  # Half a second. A bump is shorter.
_ABOVE_SPEECH_DB = 14.0  # Single frames of speech exceed the loudest half second by at most this much.
_MAX_CLICK_FRAMES, _MAX_BUMP_FRAMES, _MIN_GAP_FRAMES = 9, 30, 26
_LOUD_BLOCKS = 18  # Blocks of `STEP` samples. A fifth of a second is longer than a click or the start of a bump.
_ABOVE_NOISE_DB, _MIN_RANGE_DB = 6.0, 15.0
_EXTRA_PAD_IN_NOISE = 0.15  # Seconds at each end. Noise hides the start of speech.
_CREST = 1.5


class AudioConfig(Section):
    """How a recording becomes features."""

    mel: MelConfig = MelConfig()
    trim_db: float = Field(default=40.0, gt=0)
    """Leading and trailing parts this far below the loudest frame are cut, dB."""
    trim_pad: float = Field(default=0.06, ge=0, le=60)
    """Seconds kept on each side of what was found to be speech."""
    loudness: float = Field(default=-24.0, ge=-100, le=0)
    """Root mean square of the active part after normalisation, dB of full scale."""


@dataclass(frozen=True)
class SpeechExtent:
    """The part of a recording that is speech, and the gain for it.

    start, end: in samples. gain: factor that gives the configured loudness. peak: highest magnitude after the gain.
    has_event: whether a click or a bump was cut off at an end.
    """

    start: int
    end: int
    gain: np.floating
    peak: float
    has_event: bool = False


def prepare_waveform(samples: Waveform, config: AudioConfig, name: str = "recording") -> Waveform:
    """Cut the silence at both ends and scale the speech to the configured loudness: `(S,)` to `(S',)`, float32.

    A constant offset is removed. Clicks, bumps, hum, rumble and steady noise do not decide where the speech is or how
    loud it is. Raises TtsMetaError, naming the recording, if all of it is silent.
    """
    samples = samples - samples.mean()
    levels = levels_db(samples)
    if levels.max() < _SILENCE_DB:
        raise TtsMetaError(f"{name}: silent throughout; check the microphone and record it again")
    extent = _simple_extent(samples, levels, config)
    robust = _robust_extent(samples, config)
    if robust is not None and _differ(extent, robust, config.mel.sample_rate):
        extent = robust
    trimmed = samples[extent.start : extent.end] * extent.gain / max(1.0, extent.peak)
    return np.clip(trimmed, -1.0, 1.0).astype(np.float32)


def _simple_extent(samples: Waveform, levels: Waveform, config: AudioConfig) -> SpeechExtent:
    """Measure the extent relative to the loudest frame."""
    loud = np.flatnonzero(levels > levels.max() - config.trim_db)
    active = levels[levels > levels.max() - _ACTIVE_DB]
    start, end = _padded(loud, len(samples), config.trim_pad, config.mel.sample_rate)
    gain = _gain(active, config)
    return SpeechExtent(start, end, gain, float(np.abs(samples[start:end] * gain).max()))


def _robust_extent(samples: Waveform, config: AudioConfig) -> SpeechExtent | None:
    """Measure the extent without hum, rumble, clicks and noise; None if nothing remains."""
    rate = config.mel.sample_rate
    clean = remove_hum_and_rumble(samples, rate, find_hum(samples, rate))
    levels = levels_db(clean)
    audible = np.sort(levels[levels > max(float(levels.max()) - 60, _SILENCE_DB)])
    if not len(audible):
        return None
    top = float(audible[-min(_PEAK_FRAMES, -(-len(audible) // 3))]) + _ABOVE_SPEECH_DB
    top = min(top, float(levels.max()))
    noise = float(np.quantile(levels, 0.1))
    in_noise = min(noise + _ABOVE_NOISE_DB, top - _MIN_RANGE_DB)
    audible_frames = levels > max(top - config.trim_db, in_noise)
    loud = _without_events(audible_frames, clean, samples)
    if not len(loud):
        return None
    pad = config.trim_pad + (_EXTRA_PAD_IN_NOISE if in_noise > top - config.trim_db else 0.0)
    start, end = _padded(loud, len(samples), pad, rate)
    has_event = int(audible_frames.sum()) > len(loud)
    speech = levels[loud[0] : loud[-1] + 1]
    active = speech[(speech > top - _ACTIVE_DB) & (speech <= top)]
    if not len(active):
        return None
    gain = _gain(active, config)
    return SpeechExtent(start, end, gain, _peak_without_clicks(samples[start:end]) * float(gain), has_event)


def _without_events(loud: NDArray[np.bool_], clean: Waveform, samples: Waveform) -> NDArray[np.intp]:
    """Return the indices of loud frames, without clicks and bumps far from the speech at either end.

    A click is shorter than any speech sound. A bump is longer, and most of its power lies below the voice.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(np.int8), [0]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

    def is_event(start: int, end: int) -> bool:
        if end - start <= _MAX_CLICK_FRAMES:
            return True
        part = slice(start * STEP, end * STEP + FRAME)
        low = np.sum((samples[part] - clean[part]) ** 2)
        return end - start <= _MAX_BUMP_FRAMES and bool(low > np.sum(clean[part] ** 2))

    while len(runs) > 1 and runs[1][0] - runs[0][1] >= _MIN_GAP_FRAMES and is_event(*runs[0]):
        runs.pop(0)
    while len(runs) > 1 and runs[-1][0] - runs[-2][1] >= _MIN_GAP_FRAMES and is_event(*runs[-1]):
        runs.pop()
    return np.concatenate([np.arange(start, end) for start, end in runs] or [np.arange(0)])


def _peak_without_clicks(samples: Waveform) -> float:
    """Return the highest magnitude in `samples (S,)`, without clicks and bumps."""
    blocks = np.abs(samples[: len(samples) // STEP * STEP]).reshape(-1, STEP)
    if not len(blocks):
        return float(np.abs(samples).max())
    peaks = np.sort(blocks.max(axis=1))
    return min(float(np.abs(samples).max()), _CREST * float(peaks[-min(_LOUD_BLOCKS, -(-len(peaks) // 4))]))


def _differ(simple: SpeechExtent, robust: SpeechExtent, rate: int) -> bool:
    """Return whether the simple measurement cuts speech, keeps noise, or gives another loudness."""
    cut = max(simple.start - robust.start, robust.end - simple.end) / rate
    kept = max(robust.start - simple.start, simple.end - robust.end) / rate
    gains = [20 * np.log10(extent.gain / max(1.0, extent.peak)) for extent in (simple, robust)]
    max_kept = _MAX_KEPT_NOISE_WITH_EVENT if robust.has_event else _MAX_KEPT_NOISE
    return cut > _MAX_CUT_SPEECH or kept > max_kept or abs(gains[0] - gains[1]) > _MAX_LOUDNESS_DIFFERENCE_DB


def _padded(loud: NDArray[np.intp], length: int, seconds: float, rate: int) -> tuple[int, int]:
    """Return start and end in samples of the loud frames, with `seconds` of padding at both ends."""
    pad = round(seconds * rate)
    return max(0, int(loud[0]) * STEP - pad), min(length, int(loud[-1]) * STEP + FRAME + pad)


def _gain(levels: NDArray[np.floating], config: AudioConfig) -> np.floating:
    """Return the factor that brings frames of these levels to the configured loudness."""
    return 10 ** ((config.loudness - 10 * np.log10(np.mean(10 ** (levels / 10)))) / 20)
