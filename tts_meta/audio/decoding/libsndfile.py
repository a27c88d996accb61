"""Decoding by libsndfile, in blocks, so the length in a header does not decide how much memory is allocated."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import soundfile

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, scale_floats, truncated

_BLOCK_VALUES = 2**22
_MAX_SAMPLES_PER_BYTE = 7000  # Highest compression of FLAC: 65,535 equal samples in a frame of ten bytes.


def decode_libsndfile(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode a recording to its end. Raises DecodingError: unknown format, damaged, truncated, or too long."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as handle:
            rate, channels, declared = handle.samplerate, handle.channels, handle.frames
            if rate <= 0:
                raise damaged("no sample rate")
            if declared < _MAX_SAMPLES_PER_BYTE * len(content):
                limit.check(declared, channels, rate)
            has_floats = handle.subtype in ("FLOAT", "DOUBLE")
            samples = _read_blocks(handle, "float64" if has_floats else "float32", limit)
            has_exact_length = handle.format in ("FLAC", "OGG")
    except soundfile.LibsndfileError as error:
        raise UnrecognizedFormat(error.error_string.strip().rstrip(".")) from error
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise UnrecognizedFormat(str(error) or "refused by libsndfile") from error
    if len(samples) < (declared if has_exact_length else 0.99 * declared):
        raise truncated()
    return DecodedAudio(scale_floats(samples) if has_floats else samples, rate)


class UnrecognizedFormat(DecodingError):
    """The format of the file is not one that libsndfile reads, or the file is too damaged to recognise it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not readable as audio ({reason or 'unknown format'}); use WAV, FLAC, OGG, MP3 or M4A")
        self.reason = reason


def _read_blocks(handle: soundfile.SoundFile, dtype: Literal["float32", "float64"], limit: DurationLimit) -> np.ndarray:
    block_length = max(1, _BLOCK_VALUES // handle.channels)
    blocks, frames = [], 0
    while True:
        try:
            samples = handle.read(frames=block_length, dtype=dtype, always_2d=True)
        except soundfile.LibsndfileError as error:
            raise damaged(error.error_string.strip().rstrip(".")) from error
        blocks.append(samples)
        frames += len(samples)
        if len(samples) < block_length:
            return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        limit.check_decoded(frames, handle.channels, handle.samplerate)
