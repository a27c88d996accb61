"""Reading and writing recordings (soundfile: WAV, FLAC, OGG, MP3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file

Waveform = NDArray[np.float32]


def read_audio(path: str | Path, rate: int, max_seconds: float | None = None) -> Waveform:
    """Read a recording as mono float32 `(S,)` at `rate` samples a second; channels are averaged.

    Raises TtsMetaError naming the file and the fault: missing, empty, not audio, truncated, not a number in it,
    or longer than `max_seconds` (checked before anything is decoded).
    """
    path = Path(path)
    if not path.exists():
        raise TtsMetaError(f"{path}: no such file; check the path")
    if not path.is_file() or path.stat().st_size == 0:
        raise TtsMetaError(f"{path}: empty or not a file; record it again")
    try:
        with soundfile.SoundFile(path) as handle:
            seconds = handle.frames / handle.samplerate
            if max_seconds is not None and seconds > max_seconds:
                raise TtsMetaError(
                    f"{path}: {seconds:.0f} s long, at most {max_seconds:.0f} s a recording; cut it into sentences"
                )
            samples = handle.read(dtype="float32", always_2d=True)
            declared, source_rate = handle.frames, handle.samplerate
    except soundfile.LibsndfileError as error:
        raise TtsMetaError(f"{path}: not readable as audio ({error.error_string}); use WAV, FLAC, OGG or MP3") from error
    if len(samples) == 0:
        raise TtsMetaError(f"{path}: holds no samples; record it again")
    if len(samples) < 0.99 * declared or _wav_cut_short(path):
        raise TtsMetaError(f"{path}: truncated, its header promises more than the file holds; copy it again")
    if not np.isfinite(samples).all():
        raise TtsMetaError(f"{path}: holds values that are not numbers (NaN or infinite); export it again")
    mono = samples.mean(axis=1)
    return mono if source_rate == rate else _resample(mono, source_rate, rate)


def write_wav(path: str | Path, samples: Waveform, rate: int) -> None:
    """Write float samples `(S,)` in [-1, 1] as 16-bit WAV; louder ones are clipped. Whole or not at all."""
    with atomic_file(path) as temporary:
        soundfile.write(temporary, np.clip(samples, -1.0, 1.0), rate, format="WAV", subtype="PCM_16")


def _resample(samples: Waveform, source: int, target: int) -> Waveform:
    from torchaudio.functional import resample

    return resample(torch.from_numpy(np.ascontiguousarray(samples)), source, target).numpy()


def _wav_cut_short(path: Path) -> bool:
    """Whether a RIFF file is shorter than its data chunk says; libsndfile reads such files without a word."""
    with open(path, "rb") as handle:
        head = handle.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return False
        size = path.stat().st_size
        while len(chunk := handle.read(8)) == 8:
            length = int.from_bytes(chunk[4:8], "little")
            if chunk[:4] == b"data":
                streamed = length in (0, 0xFFFFFFFF, 0x7FFFFFFF)
                return not streamed and handle.tell() + length > size
            handle.seek(length + length % 2, 1)
    return False
