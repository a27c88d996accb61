"""Decoding of a part of a long recording. The rest of the recording is not kept in memory, and not checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, scale_floats
from tts_meta.audio.decoding.dispatch import decode
from tts_meta.audio.decoding.file_type import detect_container

MAX_FILE_SECONDS = 12 * 3600.0
"""Longest recording in a format that has to be decoded from its beginning."""
_TOLERANCE = 0.1
"""Seconds by which a part may exceed the recording, because published times are rounded."""
_HEAD_BYTES = 2**16
SEEKABLE = ("wav", "aiff", "flac", "sized")
"""Containers in which libsndfile finds a sample without decoding the samples before it."""


def decode_part(path: Path, start: float, end: float | None, seconds: float) -> DecodedAudio:
    """Decode the samples of a recording from `start` to `end`, in seconds, or to the end of the recording.

    WAV, AIFF, FLAC and similar files are read from the first sample of the part. Other formats are decoded from their
    beginning. The part is at most `seconds` long. Raises DecodingError if the recording cannot be decoded, or if the
    part is too long or not within the recording.
    """
    with open(path, "rb") as handle:
        kind = detect_container(handle.read(_HEAD_BYTES))
    limit = DurationLimit(seconds)
    if kind in SEEKABLE:
        return _read_part(path, start, end, limit)
    audio = decode(path.read_bytes(), MAX_FILE_SECONDS)
    first, last = _sample_range(start, end, audio.rate, len(audio.samples))
    limit.check(last - first, audio.samples.shape[1], audio.rate)
    return DecodedAudio(audio.samples[first:last].copy(), audio.rate)


def _read_part(path: Path, start: float, end: float | None, limit: DurationLimit) -> DecodedAudio:
    try:
        with soundfile.SoundFile(path) as handle:
            rate = handle.samplerate
            first, last = _sample_range(start, end, rate, handle.frames)
            limit.check(last - first, handle.channels, rate)
            has_floats = handle.subtype in ("FLOAT", "DOUBLE")
            handle.seek(first)
            content = handle.read(last - first, dtype="float64" if has_floats else "float32", always_2d=True)
            samples = np.asarray(content, np.float64 if has_floats else np.float32)
    except soundfile.LibsndfileError as error:
        raise damaged(error.error_string.strip().rstrip(".")) from error
    if len(samples) < last - first:
        raise damaged(f"the recording ends at {(first + len(samples)) / rate:.2f} s")
    return DecodedAudio(scale_floats(samples) if has_floats else samples.astype(np.float32), rate)


def _sample_range(start: float, end: float | None, rate: int, frames: int) -> tuple[int, int]:
    """Return the first sample of a part and the first sample after it."""
    duration = frames / rate
    if start >= duration or (end is not None and end > duration + _TOLERANCE):
        raise DecodingError(
            f"{duration:.2f} s long, but its part is from {start:g} s to {'the end' if end is None else f'{end:g} s'}; "
            "correct start and end"
        )
    return round(start * rate), frames if end is None else min(frames, round(end * rate))
