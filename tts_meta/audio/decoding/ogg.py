"""Ogg reader (Vorbis, Opus, Speex, FLAC): checks all pages, then decodes every stream of a chain."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tts_meta.audio.decoding.common import DecodedAudio, DurationLimit, damaged, join, truncated
from tts_meta.audio.decoding.libav import decode_libav
from tts_meta.audio.decoding.libsndfile import UnrecognizedFormat, decode_libsndfile

_FIRST_PAGE_FLAG = 0x02
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class _Page:
    """A page of Ogg. start: offset in the file. serial: of the stream. number: of the page in the stream."""

    start: int
    is_first: bool
    serial: int
    number: int


def decode_ogg(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode Ogg. Raises DecodingError: a page is truncated, damaged or missing, or there is no audio."""
    starts, expected, previous = [], dict[int, int](), None
    for page in _pages(content):
        if page.is_first and (previous is None or not previous.is_first):
            starts.append(page.start)
            expected.clear()
        if page.number != expected.get(page.serial, page.number):
            raise damaged(f"a page is missing before byte {page.start}")
        expected[page.serial], previous = page.number + 1, page
    if not starts or starts[0] != 0:
        raise damaged("its start is missing")
    parts = [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]
    return join([_decode_one(part, limit) for part in parts])


def _decode_one(content: bytes, limit: DurationLimit) -> DecodedAudio:
    try:
        return decode_libsndfile(content, limit)
    except UnrecognizedFormat:
        return decode_libav(content, "ogg", limit)


def _pages(content: bytes) -> Iterator[_Page]:
    """Yield every page in order. Raises DecodingError if a page is truncated or its checksum fails."""
    offset = 0
    while offset < len(content):
        head = content[offset : offset + 27]
        if head[:4] != b"OggS"[: len(head)]:
            if not content[offset:].strip(b"\0") or content[offset : offset + 3] == b"TAG":
                return
            raise damaged(f"no page at byte {offset}")
        if len(head) < 27:
            raise truncated()
        lengths = content[offset + 27 : offset + 27 + head[26]]
        end = offset + 27 + head[26] + sum(lengths)
        if len(lengths) < head[26] or end > len(content):
            raise truncated()
        page = content[offset:end]
        if _checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            raise damaged(f"the checksum of the page at byte {offset} does not match")
        serial, number = (int.from_bytes(page[start : start + 4], "little") for start in (14, 18))
        yield _Page(offset, bool(page[5] & _FIRST_PAGE_FLAG), serial, number)
        offset = end


def _checksum(data: bytes) -> int:
    """Return the CRC-32 of Ogg: the polynomial of zlib, with reversed bits, start value 0 and no inversion."""
    crc = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
