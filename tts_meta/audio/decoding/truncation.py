"""Truncation checks of containers whose parts declare their sizes: no part may end beyond the end of the file."""

from __future__ import annotations

from collections.abc import Iterator

from tts_meta.audio.decoding.common import DecodingError, damaged, truncated

_MASTER_ELEMENTS = (0x18538067, 0x1F43B675, 0xA0)  # Segment, Cluster, BlockGroup
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_AMR_SIZES = {
    b"#!AMR\n": (12, 13, 15, 17, 19, 20, 26, 31, 5, 0, 0, 0, 0, 0, 0, 0),
    b"#!AMR-WB\n": (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0),
}
_W64_SAMPLES = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def check_mp4(content: bytes) -> None:
    """Raise DecodingError if a box of MP4, M4A, 3GP or MOV is truncated or the index box `moov` is missing."""
    kinds, place = set[bytes](), 0
    while place < len(content):
        size, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if size == 1:
            size = int.from_bytes(content[place + 8 : place + 16], "big")
        if size == 0:
            size = len(content) - place
        if place + 8 > len(content) or (size >= 8 and place + size > len(content)):
            if content[place:].strip(b"\0"):
                raise truncated()
            break
        if size < 8:
            if content[place:].strip(b"\0"):
                raise damaged(f"no box at byte {place}")
            break
        kinds.add(kind)
        place += size
    if b"moov" not in kinds:
        raise DecodingError("truncated: its index is missing, so the recorder did not finish the file; record it again")


def check_matroska(content: bytes) -> None:
    """Raise DecodingError if an element of WebM or Matroska is truncated."""
    place = 0
    while place < len(content):
        kind, kind_end = _ebml_number(content, place, keep_marker=True)
        size, start = _ebml_number(content, kind_end)
        if kind is None or size is None:
            raise truncated() if len(content) - place < 12 else damaged(f"no element at byte {place}")
        has_unknown_size = size == (1 << 7 * (start - kind_end)) - 1
        if kind in _MASTER_ELEMENTS:
            if not has_unknown_size and start + size > len(content):
                raise truncated()
            place = start
        elif has_unknown_size:
            raise damaged(f"an element of unknown size at byte {place}")
        elif start + size > len(content):
            raise truncated()
        else:
            place = start + size


def check_asf(content: bytes) -> None:
    """Raise DecodingError if an ASF (WMA) file is shorter than its header declares."""
    place = content.find(_ASF_FILE_PROPERTIES, 0, 2**16)
    if place < 0 or len(content) < place + 104:
        raise truncated()
    size = int.from_bytes(content[place + 40 : place + 48], "little")
    is_broadcast = content[place + 88] & 1
    if not is_broadcast and size > len(content):
        raise truncated()


def check_amr(content: bytes) -> None:
    """Raise DecodingError if an AMR file ends within a frame."""
    magic = next(magic for magic in sorted(_AMR_SIZES, key=len, reverse=True) if content.startswith(magic))
    place = len(magic)
    while place < len(content):
        place += 1 + _AMR_SIZES[magic][content[place] >> 3 & 15]
    if place > len(content):
        raise truncated()


def check_declared_size(content: bytes) -> None:
    """Raise DecodingError if AU, CAF or Wave64 declares more bytes of samples than the file holds."""
    for start, length in _sample_chunks(content):
        if start + length > len(content) and start + length - len(content) > 64:
            raise truncated()


def _sample_chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the start and declared length, in bytes, of the samples in AU, CAF or Wave64."""
    if content[:4] == b".snd":
        start, length = (int.from_bytes(content[place : place + 4], "big") for place in (4, 8))
        if length != 0xFFFFFFFF:
            yield start, length
    elif content[:4] == b"caff":
        place = 8
        while place + 12 <= len(content):
            length = int.from_bytes(content[place + 4 : place + 12], "big", signed=True)
            if length < 0:
                return
            if content[place : place + 4] == b"data":
                yield place + 12, length
            place += 12 + length
    else:
        place = 40
        while place + 24 <= len(content):
            length = int.from_bytes(content[place + 16 : place + 24], "little")
            if length < 24:
                return
            if content[place : place + 16] == _W64_SAMPLES:
                yield place + 24, length - 24
            place += length + -length % 8


def _ebml_number(content: bytes, place: int, keep_marker: bool = False) -> tuple[int | None, int]:
    """Return a variable-length number of EBML and the position after it; None if there is no number."""
    if place >= len(content) or content[place] == 0:
        return None, place
    width = 9 - content[place].bit_length()
    if place + width > len(content):
        return None, place
    value = int.from_bytes(content[place : place + width], "big")
    return (value if keep_marker else value & (1 << 7 * width) - 1), place + width
