"""Reading recordings of any audio format."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tts_meta.audio.decoding import DecodingError, decode, decode_part
from tts_meta.corpus.audio_part import split_part
from tts_meta.errors import TtsMetaError

Waveform = NDArray[np.float32]

MAX_SECONDS = 60.0
"""Duration limit of one recording; a recording holds one sentence."""
_MAX_BYTES = 2**29
_MIN_RATE, _MAX_RATE = 4000, 768_000
# The filters of torchaudio grow with the reduced ratio of the rates: a ratio such as 44101 to 22050 needs gigabytes.
_MAX_TORCHAUDIO_RATIO = 2000


def read_audio(path: str | Path, rate: int, max_seconds: float = MAX_SECONDS) -> Waveform:
    """Read a recording as mono float32 `(S,)` at `rate` Hz; channels are averaged.

    Raises as `decode_audio`.
    """
    samples, source_rate = decode_audio(path, max_seconds)
    return to_mono(samples, source_rate, rate)


def decode_audio(path: str | Path, max_seconds: float = MAX_SECONDS) -> tuple[Waveform, int]:
    """Return the samples of a recording, float32 `(S, channels)`, and its sample rate in Hz.

    A path such as `long.flac#t=12.5,17` selects seconds 12.5 to 17 of a recording, of any length.

    The format follows from the content, not from the file name. The number of samples follows from the data, not from
    the header; see `tts_meta.audio.decoding`. Floating-point samples beyond full scale are scaled into it. Raises
    TtsMetaError, naming the file, if it is missing, empty, not audio, truncated, longer than `max_seconds`, or holds
    NaN or infinity.
    """
    path = Path(path)
    check_is_file(path)
    file, start, end = split_part(path)
    try:
        if start > 0 or end is not None:
            audio = decode_part(file, start, end, max_seconds)
        else:
            size = file.stat().st_size
            if size > _MAX_BYTES:
                raise TtsMetaError(f"{path}: {size / 1e9:.1f} GB are too much for one sentence; cut it into sentences")
            audio = decode(file.read_bytes(), max_seconds)
    except DecodingError as error:
        raise TtsMetaError(f"{path}: {error}") from error
    except OSError as error:
        raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    samples, rate = audio.samples, audio.rate
    if len(samples) == 0:
        raise TtsMetaError(f"{path}: holds no samples; record it again")
    if rate < _MIN_RATE:
        raise TtsMetaError(f"{path}: a sample rate of {rate} Hz is too low for speech; record it at 16000 Hz or more")
    if rate > _MAX_RATE:
        raise TtsMetaError(f"{path}: a sample rate of {rate} Hz is too high for a recording; export it again")
    if not np.isfinite(samples).all():
        raise TtsMetaError(f"{path}: holds values that are not numbers (NaN or infinite); export it again")
    return samples, rate


def to_mono(samples: Waveform, source_rate: int, rate: int) -> Waveform:
    """Mix `(S, channels)` down to `(S',)` at `rate` Hz. If the channels cancel each other, use the loudest one."""
    mono = samples.mean(axis=1)
    powers = np.mean(np.square(samples), axis=0)
    if np.mean(np.square(mono)) < 0.01 * powers.max():
        mono = samples[:, powers.argmax()]
    return mono if source_rate == rate else _resample(mono, source_rate, rate)


def check_is_file(path: Path) -> None:
    """Raise TtsMetaError, naming the path, if it is not a file, nor a part of one (`#t=...`), or the file is empty."""
    path = split_part(path)[0]
    if path.is_dir():
        raise TtsMetaError(f"{path}: a folder, not a file; give the recordings in the folder, such as {path}/*.wav")
    if not path.exists():
        raise TtsMetaError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise TtsMetaError(f"{path}: not a regular file; copy the recording into one")
    if path.stat().st_size == 0:
        raise TtsMetaError(f"{path}: empty; copy or record it again")


def _resample(samples: Waveform, source: int, target: int) -> Waveform:
    samples = np.ascontiguousarray(samples)
    if max(source, target) // math.gcd(source, target) > _MAX_TORCHAUDIO_RATIO:
        import soxr

        return np.asarray(soxr.resample(samples, source, target), dtype=np.float32)
    from torchaudio.functional import resample

    return resample(torch.from_numpy(samples), source, target).numpy()
