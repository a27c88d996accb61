"""Decoding by libsndfile, from memory and in blocks, so that no header decides how much memory is taken."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import soundfile

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, scale_floats, truncated

_BLOCK_VALUES = 2**22
_MOST_PER_BYTE = 7000  # FLAC's best: 65,535 equal samples in a frame of ten bytes


def decode_libsndfile(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode to the end. Raises DecodingError: not readable, damaged, shorter than it declares, or too long."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as handle:
            rate, channels, declared = handle.samplerate, handle.channels, handle.frames
            if rate <= 0:
                raise damaged("no sample rate")
            if declared < _MOST_PER_BYTE * len(content):
                limit.check(declared, channels, rate)
            floats = handle.subtype in ("FLOAT", "DOUBLE")
            samples = _read_blocks(handle, "float64" if floats else "float32", limit)
            exact = handle.format in ("FLAC", "OGG")
    except soundfile.LibsndfileError as error:
        raise UnrecognizedFormat(error.error_string.strip().rstrip(".")) from error
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise UnrecognizedFormat(str(error) or "libsndfile refuses it") from error
    if len(samples) < (declared if exact else 0.99 * declared):
        raise truncated()
    return DecodedAudio(scale_floats(samples) if floats else samples, rate)


class UnrecognizedFormat(DecodingError):
    """Not of a format that libsndfile reads, or so damaged that it does not look like one."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not readable as audio ({reason or 'unknown format'}); use WAV, FLAC, OGG, MP3 or M4A")
        self.reason = reason


def _read_blocks(handle: soundfile.SoundFile, dtype: Literal["float32", "float64"], limit: DurationLimit) -> np.ndarray:
    block = max(1, _BLOCK_VALUES // handle.channels)
    blocks, frames = [], 0
    while True:
        try:
            read = handle.read(frames=block, dtype=dtype, always_2d=True)
        except soundfile.LibsndfileError as error:
            raise damaged(error.error_string.strip().rstrip(".")) from error
        blocks.append(read)
        frames += len(read)
        if len(read) < block:
            return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        limit.exceeded(frames, handle.channels, handle.samplerate)
