"""Writing sound: the format of a file is that of its suffix."""

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
    """A format as libsndfile names it, and the rates in Hz that it can hold; empty: all."""

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
_STUCK_PART = 0.5


def audio_formats() -> dict[str, AudioFormat]:
    """Formats by suffix, those that the installed libsndfile writes."""
    return {name: one for name, one in _FORMATS.items() if soundfile.check_format(one.container, one.subtype)}


def audio_format(path: str | Path) -> AudioFormat:
    """The format of a file's suffix, in small or capital letters. Raises UsageError, with those that there are."""
    known = audio_formats()
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        listed = ", ".join(known)
        raise UsageError(f"{path}: the format follows from the suffix, and must be one of {listed}")
    return known[suffix]


def check_finite(samples: Waveform, what: str) -> None:
    """Raise TtsMetaError, naming `what`, where a sample is NaN or infinite."""
    if not np.isfinite(samples).all():
        raise TtsMetaError(f"{what}: not written, the sound holds values that are not numbers (NaN or infinite)")


def is_saturated(samples: Waveform) -> bool:
    """Whether most samples `(S,)` are at full scale, as where a model diverged; loud speech reaches it now and then."""
    return float(np.mean(np.abs(samples) >= 1.0)) > _STUCK_PART if len(samples) else False


def pcm_bytes(samples: Waveform) -> bytes:
    """Float samples `(S,)` in [-1, 1] as 16-bit little-endian integers without a header; louder ones are clipped.

    Raises TtsMetaError for samples that are not finite.
    """
    check_finite(samples, "PCM")
    return np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()


def audio_bytes(samples: Waveform, rate: int, kind: AudioFormat, name: str | Path = "sound") -> bytes:
    """Content of a file of float samples `(S,)` in [-1, 1] at `rate` Hz; louder ones are clipped.

    Where the format cannot hold the rate, the sound is resampled to the next higher rate that it can. Raises
    TtsMetaError, naming `name`, for samples that are not finite, or none.
    """
    check_finite(samples, str(name))
    if not len(samples):
        raise TtsMetaError(f"{name}: not written, the sound holds no samples")
    if kind.rates and rate not in kind.rates:
        import soxr

        target = next((one for one in kind.rates if one >= rate), kind.rates[-1])
        samples, rate = soxr.resample(np.ascontiguousarray(samples), rate, target), target
    samples = np.clip(samples, -1.0, 1.0)
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", rate, 1, kind.subtype, format=kind.container) as file:
        # In blocks: libsndfile's Vorbis encoder keeps all that it is given at once on the stack.
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    return content.getvalue()


def wav_bytes(samples: Waveform, rate: int) -> bytes:
    """Float samples `(S,)` in [-1, 1] as a 16-bit WAV file's content; as `audio_bytes`."""
    return audio_bytes(samples, rate, _FORMATS[".wav"])


def write_audio(path: str | Path, samples: Waveform, rate: int) -> None:
    """Write float samples `(S,)` in [-1, 1] at `rate` Hz in the format of the suffix, whole or not at all.

    `.wav` and `.flac` hold 16 bits a sample; `.ogg` (Vorbis), `.mp3` and `.opus` are compressed with loss. Louder
    samples are clipped. Raises UsageError for another suffix, TtsMetaError for samples that are not finite.
    """
    _write(path, samples, rate, audio_format(path))


def write_wav(path: str | Path, samples: Waveform, rate: int) -> None:
    """Write float samples `(S,)` in [-1, 1] as 16-bit WAV, whatever the name; as `write_audio`."""
    _write(path, samples, rate, _FORMATS[".wav"])


def _write(path: str | Path, samples: Waveform, rate: int, kind: AudioFormat) -> None:
    # Not by libsndfile itself: where the disk is full it says nothing.
    content = audio_bytes(samples, rate, kind, path)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
