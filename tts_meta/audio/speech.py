"""The one rule for recordings: what `prepare` accepts, training and `clone` accept, and each reads the same speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tts_meta.audio.io import MAX_SECONDS, Waveform, decode_audio, to_mono
from tts_meta.audio.levels import prepare_waveform
from tts_meta.config import AudioConfig
from tts_meta.errors import TtsMetaError

_CLIPPED_PART = 0.002
_FEWEST_CLIPPED = 10
_HALF_STEP = 1.5e-5  # half a step of 16 bits
_FULL, _WIDTHS = 0.999, (0.03, 0.1)
_EXACT_SPIKE, _SOFT_SPIKE = 4.0, 1.5
_FLAT = 0.02  # part of the samples at the top that have both neighbours there; a pure tone has none


@dataclass(frozen=True)
class LoadedSpeech:
    """A recording as models read it, and as it was.

    waveform: trimmed and level, float32 `(S,)`. original: mono at the same rate, neither trimmed nor scaled, `(S',)`.
    source_rate: Hz, by the file's header. seconds: of the file.
    """

    waveform: Waveform
    original: Waveform
    source_rate: int
    seconds: float


def load_speech(path: str | Path, config: AudioConfig) -> LoadedSpeech:
    """Read one recorded sentence.

    Raises TtsMetaError naming the file where it cannot be read, is silent, clipped, too long, or too short for a word.
    """
    samples, source_rate = decode_audio(path, MAX_SECONDS)
    clipped = clipped_fraction(samples)
    if clipped > _CLIPPED_PART:
        raise TtsMetaError(
            f"{path}: clipped, {100 * clipped:.1f}% of it is stuck at its loudest level; record it again more quietly"
        )
    seconds = round(len(samples) / source_rate, 6)
    original = to_mono(samples, source_rate, config.mel.sample_rate)
    waveform = prepare_waveform(original, config, str(path))
    if len(waveform) < config.mel.n_fft:
        raise TtsMetaError(f"{path}: too short to hold a word; leave it out")
    return LoadedSpeech(waveform, original, source_rate, seconds)


def clipped_fraction(samples: Waveform) -> float:
    """Part of the samples `(S, channels)` that lie in flat tops, in the worst channel.

    Speech that is not clipped has fewer samples at its highest level than just below it, whatever that level is.
    Clipped speech stays there: at one level, or, where MP3 and its like were made of it, in a band around full scale.
    """
    if len(samples) == 0:
        return 0.0
    return max(_stuck(samples[:, channel]) for channel in range(samples.shape[1])) / len(samples)


def _stuck(samples: Waveform) -> int:
    """Samples `(S,)` that are stuck at one level."""
    if float(samples.max() - samples.min()) <= 0.2:  # a quiet recording has few levels to have its highest at
        return 0
    exact = sum(_at_top(side) for side in (samples, -samples))
    sizes = np.abs(samples)
    flat = sizes.max() > 1.0 and any(_gathers(sizes, width) for width in _WIDTHS)
    soft = int(np.sum(sizes >= _FULL)) if flat else 0
    stuck = max(exact, soft)
    return stuck if stuck >= _FEWEST_CLIPPED else 0


def _gathers(sizes: Waveform, width: float) -> bool:
    """Whether a band around full scale holds many more of the magnitudes `(S,)` than the band below it."""
    around = np.sum((sizes >= 1 - width) & (sizes < 1 + width))
    return bool(around > _SOFT_SPIKE * np.sum((sizes >= 1 - 3 * width) & (sizes < 1 - width)))


def _at_top(samples: Waveform) -> int:
    """Samples `(S,)` at the highest level, if many follow each other there and few lie at the next lower level."""
    below = float(samples.max()) - samples
    at_top = below <= _HALF_STEP
    top = int(np.sum(at_top))
    in_a_row = int(np.sum(at_top[:-2] & at_top[1:-1] & at_top[2:]))
    just_below = np.sum((below > _HALF_STEP) & (below <= 3 * _HALF_STEP))
    return top if in_a_row >= max(2, _FLAT * top) and top > _EXACT_SPIKE * just_below else 0
