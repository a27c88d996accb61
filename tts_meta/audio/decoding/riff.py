"""WAV and AIFF: where the samples are, whatever the header says, and a header that says just that.

Programs that write to a pipe leave a placeholder for the length, others count their header, write half the length or
nothing at all. The samples are what lies from the start of their chunk to the next chunk or to the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, join, truncated
from tts_meta.audio.decoding.libav import decode_libav
from tts_meta.audio.decoding.libsndfile import decode_libsndfile

_PCM, _ADPCM, _GSM = (1, 3, 6, 7, 0xFFFE), (2, 0x11), 0x31
_BY_LIBSNDFILE = (*_PCM, *_ADPCM, _GSM)
_KNOWN_CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"cue ", b"smpl", b"fact", b"PEAK", b"JUNK", b"PAD ",
                 b"FLLR", b"_PMX", b"axml", b"acid", b"inst", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"MARK", b"INST",
                 b"APPL", b"COMT", b"chna", b"SAUR", b"afsp", b"DISP", b"plst", b"labl", b"umid")  # fmt: skip
_TAGS = (b"TAG", b"ID3", b"APETAGEX")
# What pipes leave: 0x7fffff00, 0x7ffff000, 0x7fffffff, 0x80000000, 0xffffffff, some less their header.
_PLACEHOLDERS = (range(0x7FFF0000, 0x80010000), range(0xFFFF0000, 0x100000000))
_LONGEST_TAIL = 2**16
_HEADER = 64  # Lengths that count the header, or a part of it, are so many bytes too large.

Order = Literal["little", "big"]


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    start: int
    length: int


def decode_wav(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode WAV (RIFF, RIFX, RF64), and others that follow it in the file. Raises DecodingError."""
    order: Order = "big" if content[:4] == b"RIFX" else "little"
    header, data = _find(content, order, b"data")
    if b"fmt " not in header or header[b"fmt "].length < 16:
        raise damaged("a WAV without a format")
    form = _body(content, header[b"fmt "])
    code, channels = int.from_bytes(form[:2], order), int.from_bytes(form[2:4], order)
    align = int.from_bytes(form[12:14], order) or 1
    if channels == 0:
        raise damaged("no channels")
    length = data.length
    if content[:4] in (b"RF64", b"BW64") and length == 0xFFFFFFFF and b"ds64" in header:
        length = int.from_bytes(_body(content, header[b"ds64"])[8:16], "little")
    end, rest = _end(content, data.start, length, order, whole_size(content, order), b"RIF")
    samples = content[data.start : end]
    if code in _PCM:
        samples = samples[: len(samples) // align * align]
    elif code == _GSM and len(samples) % 65 > 1:  # more than the byte that makes a chunk even
        raise truncated()
    elif code in _ADPCM and data.start + length > len(content) and len(samples) % align > 1:
        # A block that is cut off decodes to noise. One that the header declares so short is left to the decoder.
        raise truncated()
    fact = _body(content, header[b"fact"])[:4] if b"fact" in header else b""
    magic = b"RIFX" if order == "big" else b"RIFF"
    chunks = _chunk(b"fmt ", form, order) + (_chunk(b"fact", fact, order) if len(fact) == 4 else b"")
    mended = _chunk(magic, b"WAVE" + chunks + _chunk(b"data", samples, order), order)
    if not samples:
        raise DecodingError("holds no samples; record it again")
    sound = decode_libsndfile(mended, limit) if code in _BY_LIBSNDFILE else decode_libav(mended, "wav", limit)
    if code not in _PCM and len(fact) == 4:
        sound = DecodedAudio(_without_padding(sound.samples, int.from_bytes(fact, order)), sound.rate)
    return join([sound, decode_wav(content[rest:], limit)]) if rest else sound


def decode_aiff(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode AIFF and AIFF-C. Raises DecodingError."""
    header, data = _find(content, "big", b"SSND")
    if b"COMM" not in header or header[b"COMM"].length < 18:
        raise damaged("an AIFF without a format")
    form = bytearray(_body(content, header[b"COMM"]))
    end, rest = _end(content, data.start, data.length, "big", whole_size(content, "big"), b"FORM")
    if rest:
        raise DecodingError("several recordings joined in one file; split it")
    samples = content[data.start : end]
    channels, bits = int.from_bytes(form[:2], "big"), int.from_bytes(form[6:8], "big")
    frame = channels * -(-bits // 8)
    compression = bytes(form[18:22]) if content[8:12] == b"AIFC" else b"NONE"
    if compression in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"in24", b"in32") and frame:
        form[2:6] = (max(0, len(samples) - 8) // frame).to_bytes(4, "big")
    others = b"".join(_chunk(b"FVER", _body(content, header[b"FVER"]), "big") for _ in range(b"FVER" in header))
    body = content[8:12] + others + _chunk(b"COMM", bytes(form), "big") + _chunk(b"SSND", samples, "big")
    return decode_libsndfile(_chunk(b"FORM", body, "big"), limit)


def whole_size(content: bytes, order: Order) -> int:
    """Size of the whole file by its first header, in bytes."""
    return int.from_bytes(content[4:8], order) + 8


def _find(content: bytes, order: Order, samples: bytes) -> tuple[dict[bytes, _Chunk], _Chunk]:
    """Chunks before that of the samples, by kind, and the chunk of the samples."""
    header: dict[bytes, _Chunk] = {}
    for chunk in _chunks(content, 12, order):
        if chunk.kind == samples:
            return header, chunk
        header.setdefault(chunk.kind, chunk)
    raise truncated() if len(content) < 4096 or whole_size(content, order) > len(content) else damaged("no samples")


def _chunks(content: bytes, place: int, order: Order) -> Iterator[_Chunk]:
    while place + 8 <= len(content):
        chunk = _Chunk(content[place : place + 4], place + 8, int.from_bytes(content[place + 4 : place + 8], order))
        yield chunk
        place = chunk.start + chunk.length + chunk.length % 2


def _body(content: bytes, chunk: _Chunk) -> bytes:
    return content[chunk.start : chunk.start + chunk.length]


def _chunk(kind: bytes, body: bytes, order: Order) -> bytes:
    return kind + len(body).to_bytes(4, order) + body + b"\0" * (len(body) % 2)


def _end(content: bytes, start: int, length: int, order: Order, whole: int, magic: bytes) -> tuple[int, int]:
    """Where the samples end, and where another recording begins behind them (0: none). Raises DecodingError."""
    size = len(content)
    if length == 0 or start + length < size:
        for behind in dict.fromkeys((start + length, start + length + length % 2)):
            if content[behind : behind + len(magic)] == magic and size - behind > 12:
                return start + length, behind
            if _only_chunks(content, behind, order):
                return start + length, 0
        return _before_chunks(content, start, order), 0
    missing = start + length - size
    placeholder = any(length in values for values in _PLACEHOLDERS)
    if missing > 0 and not placeholder and missing > _HEADER and missing != start and abs(whole - size) > 1:
        raise truncated()
    return _before_chunks(content, start, order), 0


def _before_chunks(content: bytes, start: int, order: Order) -> int:
    """Where the samples end whose length is not known: before chunks of known kinds that end with the file."""
    reach = max(start, len(content) - _LONGEST_TAIL)
    for place in sorted(content.find(kind, reach) for kind in _KNOWN_CHUNKS):
        if place >= 0 and _end_with_file(content, place, order):
            return place
    return len(content)


def _end_with_file(content: bytes, place: int, order: Order) -> bool:
    end = place
    for chunk in _chunks(content, place, order):
        if chunk.kind not in _KNOWN_CHUNKS:
            return False
        end = chunk.start + chunk.length
    return end in (len(content), len(content) - 1)


def _only_chunks(content: bytes, place: int, order: Order) -> bool:
    """Whether what lies from a place to the end is metadata: chunks of known kinds, or any that end with the file."""
    if len(content) - place < 8:
        return len(content) - place <= 1
    if content[place:].startswith(_TAGS):
        return True
    for chunk in _chunks(content, place, order):
        if chunk.kind in _KNOWN_CHUNKS:
            continue
        if not all(32 <= byte < 127 for byte in chunk.kind) or chunk.start + chunk.length > len(content):
            return False
    return True


def _without_padding(samples, declared: int):
    """Samples `(S, channels)` without what fills the last block of a codec."""
    return samples[:declared] if 0 < len(samples) - declared < 4096 else samples
