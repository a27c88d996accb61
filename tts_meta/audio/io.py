"""Reading recordings of any format."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tts_meta.audio.decoding import DecodingError, decode
from tts_meta.errors import TtsMetaError

Waveform = NDArray[np.float32]

MAX_SECONDS = 60.0
"""Longest single recording that is read; sentences are what is wanted."""
_MOST_BYTES = 2**29
_LOWEST_RATE, _HIGHEST_RATE = 4000, 768_000
# torchaudio's filters grow with the reduced ratio of the rates: gigabytes for one such as 44101 to 22050.
_LARGEST_RATIO = 2000


def read_audio(path: str | Path, rate: int, max_seconds: float = MAX_SECONDS) -> Waveform:
    """Read a recording as mono float32 `(S,)` at `rate` samples a second; channels are averaged.

    Raises as `decode_audio`.
    """
    samples, source_rate = decode_audio(path, max_seconds)
    return to_mono(samples, source_rate, rate)


def decode_audio(path: str | Path, max_seconds: float = MAX_SECONDS) -> tuple[Waveform, int]:
    """Read a recording as it is: float32 `(S, channels)` and its rate in Hz.

    The content decides how it is read, not the name, and what is there, not what a header promises: see
    `tts_meta.audio.decoding`. Floats beyond full scale are scaled into it. Raises TtsMetaError naming the file and the
    fault: missing, empty, not audio, truncated, not a number in it, or longer than `max_seconds`.
    """
    path = Path(path)
    check_is_file(path)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise TtsMetaError(f"{path}: {size / 1e9:.1f} GB are too many for a sentence; cut it into sentences")
        sound = decode(path.read_bytes(), max_seconds)
    except DecodingError as error:
        raise TtsMetaError(f"{path}: {error}") from error
    except OSError as error:
        raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    samples, rate = sound.samples, sound.rate
    if len(samples) == 0:
        raise TtsMetaError(f"{path}: holds no samples; record it again")
    if rate < _LOWEST_RATE:
        raise TtsMetaError(f"{path}: {rate} samples a second are too few for speech; record it at 16000 or more")
    if rate > _HIGHEST_RATE:
        raise TtsMetaError(f"{path}: {rate} samples a second are not those of a recording; export it again")
    if not np.isfinite(samples).all():
        raise TtsMetaError(f"{path}: holds values that are not numbers (NaN or infinite); export it again")
    return samples, rate


def to_mono(samples: Waveform, source_rate: int, rate: int) -> Waveform:
    """Mix `(S, channels)` down to `(S',)` at `rate` Hz; channels that cancel each other leave the loudest one."""
    mono = samples.mean(axis=1)
    powers = np.mean(np.square(samples), axis=0)
    if np.mean(np.square(mono)) < 0.01 * powers.max():
        mono = samples[:, powers.argmax()]
    return mono if source_rate == rate else _resample(mono, source_rate, rate)


def check_is_file(path: Path) -> None:
    """Raise TtsMetaError, naming the path, where it is no file or an empty one."""
    if path.is_dir():
        raise TtsMetaError(f"{path}: a folder, not a file; give the recordings in it, such as {path}/*.wav")
    if not path.exists():
        raise TtsMetaError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise TtsMetaError(f"{path}: not a file; copy the recording into one")
    if path.stat().st_size == 0:
        raise TtsMetaError(f"{path}: empty; copy or record it again")


def _resample(samples: Waveform, source: int, target: int) -> Waveform:
    samples = np.ascontiguousarray(samples)
    if max(source, target) // math.gcd(source, target) > _LARGEST_RATIO:
        import soxr

        return np.asarray(soxr.resample(samples, source, target), dtype=np.float32)
    from torchaudio.functional import resample

    return resample(torch.from_numpy(samples), source, target).numpy()
