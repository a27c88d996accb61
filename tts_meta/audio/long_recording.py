"""Reading of long recordings that are to be cut into sentences, and their duration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tts_meta.audio.decoding.file_type import detect_container
from tts_meta.audio.decoding.part import SEEKABLE
from tts_meta.audio.io import Waveform, check_is_file, decode_audio, to_mono
from tts_meta.corpus.audio_part import part_of
from tts_meta.errors import TtsMetaError

MAX_LONG_SECONDS = 4 * 3600.0
"""Longest recording that is cut into sentences, seconds."""
_BLOCK_SECONDS = 300.0
_MAX_WHOLE_VALUES = 2**25
"""Samples times channels of a recording that is decoded at once."""
_HEAD_BYTES = 2**16


def read_long_recording(path: Path, rate: int) -> Waveform:
    """Read a recording of at most `MAX_LONG_SECONDS` as mono float32 `(S,)` at `rate` Hz.

    Large WAV, AIFF and FLAC files are read in blocks, so that memory does not grow with rate and channels. Raises
    TtsMetaError as `decode_audio`.
    """
    check_is_file(path)
    frames, channels, source_rate = _header(path)
    seconds = frames / source_rate
    if seconds > MAX_LONG_SECONDS:
        raise TtsMetaError(
            f"{path}: {seconds / 3600:.1f} h long; cut it into recordings of {MAX_LONG_SECONDS / 3600:.0f} h or less"
        )
    if frames * channels <= _MAX_WHOLE_VALUES or not _is_seekable(path):
        return to_mono(*decode_audio(path, MAX_LONG_SECONDS), rate)
    starts = np.arange(0.0, seconds, _BLOCK_SECONDS).tolist()
    ends: list[float | None] = [*starts[1:], None]
    blocks = [
        to_mono(*decode_audio(part_of(path, start, end), 2 * _BLOCK_SECONDS), rate)
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.concatenate(blocks)


def header_seconds(path: Path) -> float:
    """Return the duration in seconds of a recording by its header, without decoding it, or 0 if it is not known."""
    frames, _, rate = _header(path)
    return frames / rate


def _header(path: Path) -> tuple[int, int, int]:
    """Return the numbers of frames and channels, and the rate in Hz; zero frames if libsndfile cannot tell them."""
    try:
        with soundfile.SoundFile(path) as handle:
            return handle.frames, handle.channels, handle.samplerate
    except (soundfile.SoundFileError, OSError):
        return 0, 1, 1


def _is_seekable(path: Path) -> bool:
    with open(path, "rb") as handle:
        return detect_container(handle.read(_HEAD_BYTES)) in SEEKABLE
