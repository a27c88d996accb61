"""Reader of MP3 and AAC (ADTS): checks that the frames fill the file, then decodes by libav."""

from __future__ import annotations

from dataclasses import dataclass

from tts_meta.audio.decoding.common import DecodedAudio, DurationLimit, damaged, join, truncated
from tts_meta.audio.decoding.libav import decode_libav

_KBPS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by version (1; 2 and 2.5) and layer."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MAX_JUNK = 2**16
"""Bytes before the first frame that are skipped."""


@dataclass(frozen=True)
class _Frame:
    """An MPEG audio frame. length: in bytes. kind: version and layer bits, and sample rate; equal in all frames."""

    length: int
    xing_offset: int
    """Bytes from the header to the Xing tag, if the frame holds one."""
    kind: tuple[int, int]


def mp3_frame(content: bytes, offset: int) -> _Frame | None:
    """Return the MPEG audio frame at byte `offset`, or None."""
    head = content[offset : offset + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, bit_rate_index = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or bit_rate_index in (0, 15):
        return None
    is_version_1 = version == 3
    kbps, rate = _KBPS[1 if is_version_1 else 2, layer][bit_rate_index], _RATES[version][rate_index]
    padding = head[2] >> 1 & 1
    if layer == 1:
        length = (12000 * kbps // rate + padding) * 4
    else:
        length = (144000 if is_version_1 or layer == 2 else 72000) * kbps // rate + padding
    mono = head[3] >> 6 == 3
    return _Frame(length, 4 + ((17 if mono else 32) if is_version_1 else (9 if mono else 17)), (head[1] | 1, rate))


def looks_like_mp3(content: bytes) -> bool:
    """Return whether MPEG audio starts here or after tags."""
    offset = _skip_tags(content, 0)
    if content[:3] == b"ID3" and offset >= len(content):
        return True
    return _first_frame(content, offset, 2**12 if content[:3] == b"ID3" else 1) is not None


def decode_mp3(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode MPEG audio, one or several recordings in a file. Raises DecodingError: truncated, damaged, or too long."""
    return join([decode_libav(part, "mp3", limit, strict=False) for part in _split_joined(content)])


def decode_adts(content: bytes, limit: DurationLimit) -> DecodedAudio:
    """Decode AAC in ADTS frames. Raises DecodingError: truncated, damaged, or too long."""
    offset = _skip_tags(content, 0)
    while offset < len(content):
        if (length := adts_frame(content, offset)) is None:
            if content[offset : offset + 3] == b"TAG" or not content[offset:].strip(b"\0"):
                break
            raise truncated() if len(content) - offset < 9 else damaged(f"no AAC frame at byte {offset}")
        offset += length
    if offset > len(content):
        raise truncated()
    return decode_libav(content, "aac", limit)


def adts_frame(content: bytes, offset: int) -> int | None:
    """Return the length in bytes of the ADTS frame at byte `offset`, or None."""
    head = content[offset : offset + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= 7 else None


def _split_joined(content: bytes) -> list[bytes]:
    """Return the recordings that were joined in a file. Each may have a Xing tag with its number of frames."""
    offset = _first_frame(content, _skip_tags(content, 0), _MAX_JUNK)
    if offset is None:
        raise truncated() if content[:3] == b"ID3" else damaged("no MPEG audio frame found")
    parts, start = list[bytes](), offset
    frames, declared, kind = 0, None, None
    while offset < len(content):
        frame = mp3_frame(content, offset)
        if frame is None or frame.kind != (kind or frame.kind):
            skipped = _skip_tags(content, offset)
            if skipped == offset or skipped >= len(content):
                if skipped >= len(content) or not content[offset:].strip(b"\0"):
                    break
                if kind is None or frame is None:
                    raise truncated() if len(content) - offset < 4 else damaged(f"no MP3 frame at byte {offset}")
                skipped = offset
            parts.append(_checked_part(content[start:offset], frames, declared))
            start = offset = skipped
            frames, declared, kind = 0, None, None
            continue
        count = _xing_frames(content, offset, frame)
        if count is not None:
            if frames:
                parts.append(_checked_part(content[start:offset], frames, declared))
                start = offset
            frames, declared = 0, count
        else:
            frames += 1
        kind = frame.kind
        offset += frame.length
    if offset > len(content):
        raise truncated()
    return [part for part in [*parts, _checked_part(content[start:offset], frames, declared)] if part]


def _checked_part(content: bytes, frames: int, declared: int | None) -> bytes:
    """Return one recording, without a Xing tag that declares too few frames.

    Raises DecodingError if frames are missing.
    """
    if declared is None or declared == 0 or abs(declared - frames) <= 1:
        return content
    if declared > frames:
        raise truncated()
    first = mp3_frame(content, 0)
    assert first is not None
    return content[first.length :]


def _xing_frames(content: bytes, offset: int, frame: _Frame) -> int | None:
    """Return the number of frames that the Xing, Info or VBRI tag in a frame declares.

    0: the tag has no number. None: the frame has no tag; it holds audio.
    """
    tag = content[offset + frame.xing_offset : offset + frame.xing_offset + 12]
    if tag[:4] in (b"Xing", b"Info") and len(tag) == 12:
        return int.from_bytes(tag[8:12], "big") if tag[7] & 1 else 0
    vbri = content[offset + 36 : offset + 36 + 18]
    return int.from_bytes(vbri[14:18], "big") if vbri[:4] == b"VBRI" else None


def _first_frame(content: bytes, offset: int, reach: int) -> int | None:
    """Return the position of the first frame that another frame follows, or that ends the file; None: no frame."""
    for start in range(offset, min(offset + reach, len(content) - 3)):
        frame = mp3_frame(content, start)
        if frame is None:
            continue
        after = start + frame.length
        following = mp3_frame(content, after)
        if (following is not None and following.kind == frame.kind) or (start == offset and after >= len(content)):
            return start
    return None


def _skip_tags(content: bytes, offset: int) -> int:
    """Return the position after ID3, APE and lyrics tags."""
    while offset < len(content):
        head = content[offset : offset + 32]
        if head[:3] == b"ID3" and len(head) >= 10:
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            offset += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:3] == b"TAG" and head[3:4] != b"+":
            offset += 128
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            offset += 32 + int.from_bytes(head[12:16], "little")
        elif head[:11] == b"LYRICSBEGIN":
            end = content.find(b"LYRICS200", offset)
            offset = len(content) if end < 0 else end + 9
        else:
            break
    return offset
