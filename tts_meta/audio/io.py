"""Reading recordings (soundfile: WAV, FLAC, OGG, MP3)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from tts_meta.errors import TtsMetaError

Waveform = NDArray[np.float32]

_LOWEST_RATE = 4000
# torchaudio's filters grow with the reduced ratio of the rates: gigabytes for one such as 44101 to 22050.
_LARGEST_RATIO = 2000


def read_audio(path: str | Path, rate: int, max_seconds: float | None = None) -> Waveform:
    """Read a recording as mono float32 `(S,)` at `rate` samples a second; channels are averaged.

    Raises as `decode_audio`.
    """
    samples, source_rate = decode_audio(path, max_seconds)
    return to_mono(samples, source_rate, rate)


def decode_audio(path: str | Path, max_seconds: float | None = None) -> tuple[Waveform, int]:
    """Read a recording as it is: float32 `(S, channels)` and its rate in Hz.

    Raises TtsMetaError naming the file and the fault: missing, empty, not audio, truncated, not a number in it,
    or longer than `max_seconds` (checked before anything is decoded).
    """
    path = Path(path)
    check_is_file(path)
    try:
        with soundfile.SoundFile(path) as handle:
            declared, rate = handle.frames, handle.samplerate
            seconds = declared / rate
            if max_seconds is not None and seconds > max_seconds:
                raise TtsMetaError(
                    f"{path}: {seconds:.0f} s long, at most {max_seconds:.0f} s a recording; cut it into sentences"
                )
            try:
                samples = np.asarray(handle.read(dtype="float32", always_2d=True), dtype=np.float32)
            except soundfile.LibsndfileError as error:
                raise TtsMetaError(f"{path}: truncated or damaged ({_reason(error)}); copy it again") from error
    except soundfile.LibsndfileError as error:
        if _cut_short(path):
            raise _truncated(path) from error
        raise TtsMetaError(f"{path}: not readable as audio ({_reason(error)}); use WAV, FLAC, OGG or MP3") from error
    except OSError as error:
        raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    if len(samples) < 0.99 * declared or _cut_short(path):
        raise _truncated(path)
    if len(samples) == 0:
        raise TtsMetaError(f"{path}: holds no samples; record it again")
    if rate < _LOWEST_RATE:
        raise TtsMetaError(f"{path}: {rate} samples a second are too few for speech; record it at 16000 or more")
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


def _reason(error: soundfile.LibsndfileError) -> str:
    return error.error_string.strip().rstrip(".")


def _truncated(path: Path) -> TtsMetaError:
    return TtsMetaError(f"{path}: truncated, its header promises more than the file holds; copy it again")


def _cut_short(path: Path) -> bool:
    return _chunks_cut_short(path) or _ogg_cut_short(path)


def _chunks_cut_short(path: Path) -> bool:
    """Whether a WAV or AIFF file is shorter than its chunk of samples says; libsndfile reads it without a word."""
    with open(path, "rb") as handle:
        head = handle.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            order, samples = "little", b"data"
        elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            order, samples = "big", b"SSND"
        else:
            return False
        size = path.stat().st_size
        while len(chunk := handle.read(8)) == 8:
            length = int.from_bytes(chunk[4:8], order)
            if chunk[:4] == samples:
                streamed = length in (0, 0xFFFFFFFF, 0x7FFFFFFF)
                return not streamed and handle.tell() + length > size
            handle.seek(length + length % 2, 1)
    return False


def _ogg_cut_short(path: Path) -> bool:
    """Whether an Ogg file ends inside a page; libsndfile reads such files up to the page before."""
    with open(path, "rb") as handle:
        size = path.stat().st_size
        while len(head := handle.read(27)) == 27 and head[:4] == b"OggS":
            lengths = handle.read(head[26])
            if handle.tell() + sum(lengths) > size or len(lengths) < head[26]:
                return True
            handle.seek(sum(lengths), 1)
        return head[:4] == b"OggS"
