"""FLAC reader: corrects a missing or wrong number of samples in the header, then decodes by libsndfile."""

from __future__ import annotations

import hashlib

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, join, truncated
from tts_meta.audio.decoding.libav import decode_libav
from tts_meta.audio.decoding.libsndfile import UnrecognizedFormat, decode_libsndfile

_MAGIC = b"fLaC\x00\x00\x00\x22"
"""First bytes of every FLAC file: its first block is STREAMINFO, which has 34 bytes."""


def decode_flac(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode FLAC recordings, one or several in a file. Raises DecodingError: damaged, truncated, or too long."""
    return join([_decode_one(part, limit) for part in _split_joined(content)])


def _split_joined(content: bytes) -> list[bytes]:
    """Return the recordings that were joined in a file."""
    starts = [0]
    while (start := content.find(_MAGIC, starts[-1] + len(_MAGIC))) >= 0:
        starts.append(start)
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def _decode_one(content: bytes, limit: DurationLimit) -> DecodedAudio:
    if len(content) < 42:
        raise truncated()
    declared = _declared(content)
    if declared:
        try:
            audio = decode_libsndfile(content, limit)
        except UnrecognizedFormat as error:
            raise damaged(error.reason) from error
        except DecodingError:
            if _is_plausible(declared, content):
                raise
        else:
            if _is_verified(content, audio):
                return audio
    counted = len(decode_libav(content, "flac", limit, strict=False).samples)
    if counted < declared and _is_plausible(declared, content):
        raise truncated()
    # Every frame has a checksum, and libsndfile refuses the file if a checksum fails.
    try:
        return decode_libsndfile(_with_length(content, counted), limit)
    except UnrecognizedFormat as error:
        raise damaged(error.reason) from error


def _declared(content: bytes) -> int:
    """Return the total number of samples in STREAMINFO, 36 bits; 0: unknown."""
    return int.from_bytes(content[21:26], "big") & 0xFFFFFFFFF


def _with_length(content: bytes, samples: int) -> bytes:
    """Return the file with another number of samples in STREAMINFO, and without an MD5."""
    high = content[21] & 0xF0 | samples >> 32
    return content[:21] + bytes([high]) + (samples & 0xFFFFFFFF).to_bytes(4, "big") + bytes(16) + content[42:]


def _is_plausible(declared: int, content: bytes) -> bool:
    """Return whether a file of this size, or one twice as large, can hold `declared` samples."""
    return declared < 7000 * 2 * len(content)


def _is_verified(content: bytes, audio: DecodedAudio) -> bool:
    """Return whether the MD5 of the samples equals the one in STREAMINFO; False if unknown."""
    digest = content[26:42]
    if digest == bytes(16):
        return False
    bits = (int.from_bytes(content[20:22], "big") >> 4 & 0x1F) + 1
    width = -(-bits // 8)
    # float32 represents samples of up to 24 bits exactly.
    if bits > 24:
        return False
    values = (audio.samples.astype("float64") * 2 ** (bits - 1)).round().astype("<i4")
    raw = values.view("u1").reshape(*values.shape, 4)[..., :width].tobytes()
    return hashlib.md5(raw, usedforsecurity=False).digest() == digest
