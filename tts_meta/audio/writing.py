"""Writing audio files: the suffix of the file selects the format."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class AudioFormat:
    """A format by its names in libsndfile. rates: the sample rates in Hz that it supports; empty: all."""

    container: str
    subtype: str
    rates: tuple[int, ...] = ()


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_FORMATS = {
    ".wav": AudioFormat("WAV", "PCM_16"),
    ".flac": AudioFormat("FLAC", "PCM_16"),
    ".ogg": AudioFormat("OGG", "VORBIS"),
    ".mp3": AudioFormat("MP3", "MPEG_LAYER_III", _MP3_RATES),
    ".opus": AudioFormat("OGG", "OPUS", _OPUS_RATES),
}
_BLOCK = 16384
_MAX_SATURATED = 0.5


def audio_formats() -> dict[str, AudioFormat]:
    """Return the formats that the installed libsndfile can write, by suffix."""
    return {suffix: kind for suffix, kind in _FORMATS.items() if soundfile.check_format(kind.container, kind.subtype)}


def audio_format(path: str | Path) -> AudioFormat:
    """Return the format of a file's suffix, which may be in capitals. Raises UsageError for an unknown suffix."""
    formats = audio_formats()
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise UsageError(f"{path}: the suffix selects the audio format and must be one of {', '.join(formats)}")
    return formats[suffix]


def check_finite(samples: Waveform, name: str) -> None:
    """Raise TtsMetaError, naming `name`, if a sample is NaN or infinite."""
    if not np.isfinite(samples).all():
        raise TtsMetaError(f"{name}: not written, the audio holds values that are not numbers (NaN or infinite)")


def is_saturated(samples: Waveform) -> bool:
    """Return whether most samples `(S,)` are at full scale, as from a diverged model; loud speech has only a few."""
    return float(np.mean(np.abs(samples) >= 1.0)) > _MAX_SATURATED if len(samples) else False


def pcm_bytes(samples: Waveform) -> bytes:
    """Return samples `(S,)` in [-1, 1] as 16-bit little-endian integers without a header; louder ones are clipped.

    Raises TtsMetaError if a sample is not finite.
    """
    check_finite(samples, "PCM")
    return np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()


def audio_bytes(samples: Waveform, rate: int, kind: AudioFormat, name: str | Path = "audio") -> bytes:
    """Return the content of an audio file of samples `(S,)` in [-1, 1] at `rate` Hz; louder ones are clipped.

    If the format does not support the rate, the samples are resampled to the next higher rate that it supports. Raises
    TtsMetaError, naming `name`, if there are no samples or a sample is not finite.
    """
    check_finite(samples, str(name))
    if not len(samples):
        raise TtsMetaError(f"{name}: not written, the audio holds no samples")
    if kind.rates and rate not in kind.rates:
        import soxr

        target = next((supported for supported in kind.rates if supported >= rate), kind.rates[-1])
        samples, rate = soxr.resample(np.ascontiguousarray(samples), rate, target), target
    samples = np.clip(samples, -1.0, 1.0)
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", rate, 1, kind.subtype, format=kind.container) as file:
        # The samples are written in blocks, because the Vorbis encoder of libsndfile puts each block on the stack.
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    return content.getvalue()


def wav_bytes(samples: Waveform, rate: int) -> bytes:
    """Return the content of a 16-bit WAV file; as `audio_bytes`."""
    return audio_bytes(samples, rate, _FORMATS[".wav"])


def write_audio(path: str | Path, samples: Waveform, rate: int) -> None:
    """Write samples `(S,)` in [-1, 1] at `rate` Hz in the format of the suffix; the file is written atomically.

    `.wav` and `.flac` have 16 bits per sample; `.ogg` (Vorbis), `.mp3` and `.opus` are lossy. Louder samples are
    clipped. Raises UsageError for another suffix, and TtsMetaError if a sample is not finite.
    """
    _write(path, samples, rate, audio_format(path))


def write_wav(path: str | Path, samples: Waveform, rate: int) -> None:
    """Write samples `(S,)` in [-1, 1] as 16-bit WAV, whatever the suffix; otherwise as `write_audio`."""
    _write(path, samples, rate, _FORMATS[".wav"])


def _write(path: str | Path, samples: Waveform, rate: int, kind: AudioFormat) -> None:
    # libsndfile does not report a full disk, so it does not write the file itself.
    content = audio_bytes(samples, rate, kind, path)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
