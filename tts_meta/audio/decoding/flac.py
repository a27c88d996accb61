"""FLAC: the number of samples is counted where the header does not know it or errs; the rest libsndfile verifies."""

from __future__ import annotations

import hashlib

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, join, truncated
from tts_meta.audio.decoding.libav import decode_libav
from tts_meta.audio.decoding.libsndfile import UnrecognizedFormat, decode_libsndfile

_MARK = b"fLaC\x00\x00\x00\x22"
"""The beginning of every FLAC: its first block is STREAMINFO, of 34 bytes."""


def decode_flac(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode FLAC, and others that follow it in the file. Raises DecodingError: damaged, cut off, too long."""
    return join([_decode_one(piece, limit) for piece in _pieces(content)])


def _pieces(content: bytes) -> list[bytes]:
    places = [0]
    while (place := content.find(_MARK, places[-1] + len(_MARK))) >= 0:
        places.append(place)
    return [content[begin:end] for begin, end in zip(places, [*places[1:], len(content)], strict=True)]


def _decode_one(content: bytes, limit: DurationLimit) -> DecodedAudio:
    if len(content) < 42:
        raise truncated()
    declared = _declared(content)
    if declared:
        try:
            sound = decode_libsndfile(content, limit)
        except UnrecognizedFormat as error:
            raise damaged(error.reason) from error
        except DecodingError:
            if _plausible(declared, content):
                raise
        else:
            if _verified(content, sound):
                return sound
    counted = len(decode_libav(content, "flac", limit, strict=False).samples)
    if counted < declared and _plausible(declared, content):
        raise truncated()
    # Every frame has a checksum, and libsndfile refuses the file where one of them fails.
    try:
        return decode_libsndfile(_with_length(content, counted), limit)
    except UnrecognizedFormat as error:
        raise damaged(error.reason) from error


def _declared(content: bytes) -> int:
    """The total number of samples in STREAMINFO, 36 bits; 0: unknown."""
    return int.from_bytes(content[21:26], "big") & 0xFFFFFFFFF


def _with_length(content: bytes, samples: int) -> bytes:
    high = content[21] & 0xF0 | samples >> 32
    return content[:21] + bytes([high]) + (samples & 0xFFFFFFFF).to_bytes(4, "big") + bytes(16) + content[42:]


def _plausible(declared: int, content: bytes) -> bool:
    """Whether a file of this size, or one twice as large, can hold so many samples."""
    return declared < 7000 * 2 * len(content)


def _verified(content: bytes, sound: DecodedAudio) -> bool:
    """Whether the MD5 of the samples is the one in STREAMINFO; a file without one is not verified."""
    digest = content[26:42]
    if digest == bytes(16):
        return False
    bits = (int.from_bytes(content[20:22], "big") >> 4 & 0x1F) + 1
    width = -(-bits // 8)
    # Up to 24 bits, float32 holds each sample exactly.
    if bits > 24:
        return False
    values = (sound.samples.astype("float64") * 2 ** (bits - 1)).round().astype("<i4")
    raw = values.view("u1").reshape(*values.shape, 4)[..., :width].tobytes()
    return hashlib.md5(raw, usedforsecurity=False).digest() == digest
