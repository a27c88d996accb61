"""WAV and AIFF reader: locates the samples even if the lengths in the header are wrong, and writes a correct header.

Programs that write to a pipe leave a placeholder for the length. Other programs include the header in the length, or
write half the length or 0. The samples extend from the start of their chunk to the next chunk or the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, join, truncated
from tts_meta.audio.decoding.libav import decode_libav
from tts_meta.audio.decoding.libsndfile import decode_libsndfile

_PCM, _ADPCM, _GSM = (1, 3, 6, 7, 0xFFFE), (2, 0x11), 0x31
_BY_LIBSNDFILE = (*_PCM, *_ADPCM, _GSM)
_KNOWN_CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"cue ", b"smpl", b"fact", b"PEAK", b"JUNK", b"PAD ",
                 b"FLLR", b"_PMX", b"axml", b"acid", b"inst", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"MARK", b"INST",
                 b"APPL", b"COMT", b"chna", b"SAUR", b"afsp", b"DISP", b"plst", b"labl", b"umid")  # fmt: skip
_TAGS = (b"TAG", b"ID3", b"APETAGEX")
# Placeholders of pipes: 0x7fffff00, 0x7ffff000, 0x7fffffff, 0x80000000, 0xffffffff; some minus the header.
_PLACEHOLDERS = (range(0x7FFF0000, 0x80010000), range(0xFFFF0000, 0x100000000))
_MAX_METADATA = 2**16
_MAX_HEADER = 64  # A length that includes the header, or a part of it, is at most this many bytes too large.

Order = Literal["little", "big"]


@dataclass(frozen=True)
class _Chunk:
    """A chunk of RIFF or AIFF. start: offset of its content. length: declared length in bytes."""

    kind: bytes
    start: int
    length: int


def decode_wav(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode WAV (RIFF, RIFX, RF64), one or several recordings in a file. Raises DecodingError."""
    order: Order = "big" if content[:4] == b"RIFX" else "little"
    header, data = _find_chunks(content, order, b"data")
    if b"fmt " not in header or header[b"fmt "].length < 16:
        raise damaged("WAV without a format chunk")
    format_body = _body(content, header[b"fmt "])
    code, channels = int.from_bytes(format_body[:2], order), int.from_bytes(format_body[2:4], order)
    block_size = int.from_bytes(format_body[12:14], order) or 1
    if channels == 0:
        raise damaged("no channels")
    length = data.length
    if content[:4] in (b"RF64", b"BW64") and length == 0xFFFFFFFF and b"ds64" in header:
        length = int.from_bytes(_body(content, header[b"ds64"])[8:16], "little")
    end, rest = _find_samples_end(content, data.start, length, order, declared_file_size(content, order), b"RIF")
    samples = content[data.start : end]
    if code in _PCM:
        samples = samples[: len(samples) // block_size * block_size]
    elif code == _GSM and len(samples) % 65 > 1:  # One byte may pad the chunk to an even length.
        raise truncated()
    elif code in _ADPCM and data.start + length > len(content) and len(samples) % block_size > 1:
        # A truncated block decodes to noise. If the header declares the short block, the decoder handles it.
        raise truncated()
    fact = _body(content, header[b"fact"])[:4] if b"fact" in header else b""
    magic = b"RIFX" if order == "big" else b"RIFF"
    chunks = _encode_chunk(b"fmt ", format_body, order) + (
        _encode_chunk(b"fact", fact, order) if len(fact) == 4 else b""
    )
    corrected = _encode_chunk(magic, b"WAVE" + chunks + _encode_chunk(b"data", samples, order), order)
    if not samples:
        raise DecodingError("holds no samples; record it again")
    by_libsndfile = code in _BY_LIBSNDFILE
    audio = decode_libsndfile(corrected, limit) if by_libsndfile else decode_libav(corrected, "wav", limit)
    if code not in _PCM and len(fact) == 4:
        audio = DecodedAudio(_without_padding(audio.samples, int.from_bytes(fact, order)), audio.rate)
    return join([audio, decode_wav(content[rest:], limit)]) if rest else audio


def decode_aiff(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode AIFF and AIFF-C. Raises DecodingError."""
    header, data = _find_chunks(content, "big", b"SSND")
    if b"COMM" not in header or header[b"COMM"].length < 18:
        raise damaged("AIFF without a format chunk")
    common = bytearray(_body(content, header[b"COMM"]))
    end, rest = _find_samples_end(content, data.start, data.length, "big", declared_file_size(content, "big"), b"FORM")
    if rest:
        raise DecodingError("several recordings are joined in one file; split it")
    samples = content[data.start : end]
    channels, bits = int.from_bytes(common[:2], "big"), int.from_bytes(common[6:8], "big")
    frame_size = channels * -(-bits // 8)
    compression = bytes(common[18:22]) if content[8:12] == b"AIFC" else b"NONE"
    if compression in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"in24", b"in32") and frame_size:
        common[2:6] = (max(0, len(samples) - 8) // frame_size).to_bytes(4, "big")
    version = b"".join(_encode_chunk(b"FVER", _body(content, header[b"FVER"]), "big") for _ in range(b"FVER" in header))
    body = (
        content[8:12] + version + _encode_chunk(b"COMM", bytes(common), "big") + _encode_chunk(b"SSND", samples, "big")
    )
    return decode_libsndfile(_encode_chunk(b"FORM", body, "big"), limit)


def declared_file_size(content: bytes, order: Order) -> int:
    """Return the size of the file in bytes that its first header declares."""
    return int.from_bytes(content[4:8], order) + 8


def _find_chunks(content: bytes, order: Order, samples: bytes) -> tuple[dict[bytes, _Chunk], _Chunk]:
    """Return the chunks before the samples, by kind, and the chunk of the samples."""
    header: dict[bytes, _Chunk] = {}
    for chunk in _chunks(content, 12, order):
        if chunk.kind == samples:
            return header, chunk
        header.setdefault(chunk.kind, chunk)
    is_short = len(content) < 4096 or declared_file_size(content, order) > len(content)
    raise truncated() if is_short else damaged("no samples")


def _chunks(content: bytes, offset: int, order: Order) -> Iterator[_Chunk]:
    """Yield the chunks from byte `offset` on."""
    while offset + 8 <= len(content):
        length = int.from_bytes(content[offset + 4 : offset + 8], order)
        chunk = _Chunk(content[offset : offset + 4], offset + 8, length)
        yield chunk
        offset = chunk.start + chunk.length + chunk.length % 2


def _body(content: bytes, chunk: _Chunk) -> bytes:
    return content[chunk.start : chunk.start + chunk.length]


def _encode_chunk(kind: bytes, body: bytes, order: Order) -> bytes:
    return kind + len(body).to_bytes(4, order) + body + b"\0" * (len(body) % 2)


def _find_samples_end(
    content: bytes, start: int, length: int, order: Order, file_size: int, magic: bytes
) -> tuple[int, int]:
    """Return the end of the samples and the start of the next recording (0: none). Raises DecodingError."""
    size = len(content)
    if length == 0 or start + length < size:
        for after in dict.fromkeys((start + length, start + length + length % 2)):
            if content[after : after + len(magic)] == magic and size - after > 12:
                return start + length, after
            if _is_metadata(content, after, order):
                return start + length, 0
        return _end_before_metadata(content, start, order), 0
    missing = start + length - size
    is_placeholder = any(length in values for values in _PLACEHOLDERS)
    if missing > 0 and not is_placeholder and missing > _MAX_HEADER and missing != start and abs(file_size - size) > 1:
        raise truncated()
    return _end_before_metadata(content, start, order), 0


def _end_before_metadata(content: bytes, start: int, order: Order) -> int:
    """Return the end of samples of unknown length: the start of the metadata chunks, or the end of the file."""
    search_start = max(start, len(content) - _MAX_METADATA)
    for offset in sorted(content.find(kind, search_start) for kind in _KNOWN_CHUNKS):
        if offset >= 0 and _is_metadata_to_the_end(content, offset, order):
            return offset
    return len(content)


def _is_metadata_to_the_end(content: bytes, offset: int, order: Order) -> bool:
    """Return whether the chunks from `offset` on are of known kinds and end with the file."""
    end = offset
    for chunk in _chunks(content, offset, order):
        if chunk.kind not in _KNOWN_CHUNKS:
            return False
        end = chunk.start + chunk.length
    return end in (len(content), len(content) - 1)


def _is_metadata(content: bytes, offset: int, order: Order) -> bool:
    """Return whether the rest of the file from `offset` on is metadata: tags, or chunks that end with the file."""
    if len(content) - offset < 8:
        return len(content) - offset <= 1
    if content[offset:].startswith(_TAGS):
        return True
    for chunk in _chunks(content, offset, order):
        if chunk.kind in _KNOWN_CHUNKS:
            continue
        if not all(32 <= byte < 127 for byte in chunk.kind) or chunk.start + chunk.length > len(content):
            return False
    return True


def _without_padding(samples: NDArray[np.float32], declared: int) -> NDArray[np.float32]:
    """Return samples `(S, channels)` without the padding of the last block of a codec."""
    return samples[:declared] if 0 < len(samples) - declared < 4096 else samples
