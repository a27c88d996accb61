"""Ogg (Vorbis, Opus, Speex, FLAC): every page is there and whole, and every stream of a chain is read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tts_meta.audio.decoding.common import DecodedAudio, DurationLimit, damaged, join, truncated
from tts_meta.audio.decoding.libav import decode_libav
from tts_meta.audio.decoding.libsndfile import UnrecognizedFormat, decode_libsndfile

_FIRST = 0x02
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class _Page:
    start: int
    first: bool
    serial: int
    number: int


def decode_ogg(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode Ogg. Raises DecodingError: a page is cut, damaged or missing, or nothing in it is sound."""
    starts, expected, before = [], dict[int, int](), None
    for page in _pages(content):
        if page.first and (before is None or not before.first):
            starts.append(page.start)
            expected.clear()
        if page.number != expected.get(page.serial, page.number):
            raise damaged(f"a part is missing before byte {page.start}")
        expected[page.serial], before = page.number + 1, page
    if not starts or starts[0] != 0:
        raise damaged("its beginning is missing")
    pieces = [content[begin:end] for begin, end in zip(starts, [*starts[1:], len(content)], strict=True)]
    return join([_decode_one(piece, limit) for piece in pieces])


def _decode_one(content: bytes, limit: DurationLimit) -> DecodedAudio:
    try:
        return decode_libsndfile(content, limit)
    except UnrecognizedFormat:
        return decode_libav(content, "ogg", limit)


def _pages(content: bytes) -> Iterator[_Page]:
    """Every page in order. Raises DecodingError where one is cut or its checksum fails."""
    place = 0
    while place < len(content):
        head = content[place : place + 27]
        if head[:4] != b"OggS"[: len(head)]:
            if not content[place:].strip(b"\0") or content[place : place + 3] == b"TAG":
                return
            raise damaged(f"no page at byte {place}")
        if len(head) < 27:
            raise truncated()
        lengths = content[place + 27 : place + 27 + head[26]]
        end = place + 27 + head[26] + sum(lengths)
        if len(lengths) < head[26] or end > len(content):
            raise truncated()
        page = content[place:end]
        if _checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            raise damaged(f"the page at byte {place} is not what its checksum says")
        serial, number = (int.from_bytes(page[begin : begin + 4], "little") for begin in (14, 18))
        yield _Page(place, bool(page[5] & _FIRST), serial, number)
        place = end


def _checksum(data: bytes) -> int:
    """CRC-32 of Ogg: the polynomial of zlib, with bits in the other order, from 0 and without inversion."""
    crc = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
