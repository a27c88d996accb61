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
    kinds, offset = set[bytes](), 0
    while offset < len(content):
        size, kind = int.from_bytes(content[offset : offset + 4], "big"), content[offset + 4 : offset + 8]
        if size == 1:
            size = int.from_bytes(content[offset + 8 : offset + 16], "big")
        if size == 0:
            size = len(content) - offset
        if offset + 8 > len(content) or (size >= 8 and offset + size > len(content)):
            if content[offset:].strip(b"\0"):
                raise truncated()
            break
        if size < 8:
            if content[offset:].strip(b"\0"):
                raise damaged(f"no box at byte {offset}")
            break
        kinds.add(kind)
        offset += size
    if b"moov" not in kinds:
        raise DecodingError("truncated: its index is missing, so the recorder did not finish the file; record it again")


def check_matroska(content: bytes) -> None:
    """Raise DecodingError if an element of WebM or Matroska is truncated."""
    offset = 0
    while offset < len(content):
        kind, kind_end = _ebml_number(content, offset, keep_marker=True)
        size, start = _ebml_number(content, kind_end)
        if kind is None or size is None:
            raise truncated() if len(content) - offset < 12 else damaged(f"no element at byte {offset}")
        has_unknown_size = size == (1 << 7 * (start - kind_end)) - 1
        if kind in _MASTER_ELEMENTS:
            if not has_unknown_size and start + size > len(content):
                raise truncated()
            offset = start
        elif has_unknown_size:
            raise damaged(f"an element of unknown size at byte {offset}")
        elif start + size > len(content):
            raise truncated()
        else:
            offset = start + size


def check_asf(content: bytes) -> None:
    """Raise DecodingError if an ASF (WMA) file is shorter than its header declares."""
    offset = content.find(_ASF_FILE_PROPERTIES, 0, 2**16)
    if offset < 0 or len(content) < offset + 104:
        raise truncated()
    size = int.from_bytes(content[offset + 40 : offset + 48], "little")
    is_broadcast = content[offset + 88] & 1
    if not is_broadcast and size > len(content):
        raise truncated()


def check_amr(content: bytes) -> None:
    """Raise DecodingError if an AMR file ends within a frame."""
    magic = next(magic for magic in sorted(_AMR_SIZES, key=len, reverse=True) if content.startswith(magic))
    offset = len(magic)
    while offset < len(content):
        offset += 1 + _AMR_SIZES[magic][content[offset] >> 3 & 15]
    if offset > len(content):
        raise truncated()


def check_declared_size(content: bytes) -> None:
    """Raise DecodingError if AU, CAF or Wave64 declares more bytes of samples than the file holds."""
    for start, length in _sample_chunks(content):
        if start + length > len(content) and start + length - len(content) > 64:
            raise truncated()


def _sample_chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the start and declared length, in bytes, of the samples in AU, CAF or Wave64."""
    if content[:4] == b".snd":
        start, length = (int.from_bytes(content[offset : offset + 4], "big") for offset in (4, 8))
        if length != 0xFFFFFFFF:
            yield start, length
    elif content[:4] == b"caff":
        offset = 8
        while offset + 12 <= len(content):
            length = int.from_bytes(content[offset + 4 : offset + 12], "big", signed=True)
            if length < 0:
                return
            if content[offset : offset + 4] == b"data":
                yield offset + 12, length
            offset += 12 + length
    else:
        offset = 40
        while offset + 24 <= len(content):
            length = int.from_bytes(content[offset + 16 : offset + 24], "little")
            if length < 24:
                return
            if content[offset : offset + 16] == _W64_SAMPLES:
                yield offset + 24, length - 24
            offset += length + -length % 8


def _ebml_number(content: bytes, offset: int, keep_marker: bool = False) -> tuple[int | None, int]:
    """Return a variable-length number of EBML and the position after it; None if there is no number."""
    if offset >= len(content) or content[offset] == 0:
        return None, offset
    width = 9 - content[offset].bit_length()
    if offset + width > len(content):
        return None, offset
    value = int.from_bytes(content[offset : offset + width], "big")
    return (value if keep_marker else value & (1 << 7 * width) - 1), offset + width
