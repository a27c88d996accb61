"""`decode`: the entry point, which selects the reader of a container by the content."""

from __future__ import annotations

from collections.abc import Callable

from tts_meta.audio.decoding import truncation
from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, truncated
from tts_meta.audio.decoding.file_type import describe_other, detect_container
from tts_meta.audio.decoding.flac import decode_flac
from tts_meta.audio.decoding.libav import decode_libav
from tts_meta.audio.decoding.libsndfile import UnrecognizedFormat, decode_libsndfile
from tts_meta.audio.decoding.mpeg import decode_adts, decode_mp3
from tts_meta.audio.decoding.ogg import decode_ogg
from tts_meta.audio.decoding.riff import declared_file_size, decode_aiff, decode_wav


def _checked(
    check: Callable[[bytes], None], read: Callable[[bytes, DurationLimit], DecodedAudio]
) -> Callable[[bytes, DurationLimit], DecodedAudio]:
    def decode_checked(content: bytes, limit: DurationLimit) -> DecodedAudio:
        check(content)
        return read(content, limit)

    return decode_checked


def _by_libav(demuxer: str) -> Callable[[bytes, DurationLimit], DecodedAudio]:
    return lambda content, limit: decode_libav(content, demuxer, limit)


def _check_avi(content: bytes) -> None:
    if declared_file_size(content, "little") > len(content) + 1:
        raise truncated()


_READERS: dict[str, Callable[[bytes, DurationLimit], DecodedAudio]] = {
    "wav": decode_wav,
    "aiff": decode_aiff,
    "flac": decode_flac,
    "ogg": decode_ogg,
    "mp3": decode_mp3,
    "adts": decode_adts,
    "sized": _checked(truncation.check_declared_size, decode_libsndfile),
    "mp4": _checked(truncation.check_mp4, _by_libav("mp4")),
    "matroska": _checked(truncation.check_matroska, _by_libav("matroska")),
    "asf": _checked(truncation.check_asf, _by_libav("asf")),
    "amr": _checked(truncation.check_amr, _by_libav("amr")),
    "avi": _checked(_check_avi, _by_libav("avi")),
}


def decode(content: bytes, seconds: float) -> DecodedAudio:
    """Decode a recording of at most `seconds`. Raises DecodingError with the reason and what to do."""
    limit = DurationLimit(seconds)
    kind = detect_container(content)
    if kind is not None:
        return _READERS[kind](content, limit)
    try:
        return decode_libsndfile(content, limit)
    except UnrecognizedFormat:
        if description := describe_other(content):
            raise DecodingError(f"not readable as audio: it is {description}") from None
        raise
