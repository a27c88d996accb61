"""Speed perturbation: copies of recordings at other speeds, as additional speakers for training.

A copy has the same samples at another sampling rate. Pitch, formants and tempo therefore change by one factor, as if
the speaker were smaller or larger. The method is from speech recognition (Ko et al. 2015). Each copy counts as another
speaker (Yamamoto et al. 2019).
"""

from __future__ import annotations

import dataclasses
import errno
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path

from tts_meta.corpus import SPEED_MARK, Utterance
from tts_meta.corpus.audio_part import sha256_audio
from tts_meta.corpus.speaker_splits import PERTURBED_SUFFIX
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file

_MIN_SPEED, _MAX_SPEED = 0.5, 2.0


def check_speeds(speeds: Sequence[float]) -> list[float]:
    """Return the distinct speeds, rounded to the six digits that names have.

    Raises UsageError for a speed of 1 or outside 0.5 to 2.
    """
    rounded = [float(f"{speed:g}") for speed in speeds]
    for speed in rounded:
        if not _MIN_SPEED <= speed <= _MAX_SPEED or speed == 1 or not math.isfinite(speed):
            raise UsageError(f"invalid speed {speed:g}; use speeds from {_MIN_SPEED} to {_MAX_SPEED}, except 1")
    return list(dict.fromkeys(rounded))


def copy_at_speed(audio: Path, speed: float, folder: Path) -> tuple[Path, float]:
    """Write a FLAC copy of a recording at another speed into `folder`; return its path and its duration in seconds.

    audio: a recording or a part of one (`#t=...`). The name of the file contains the hash of the original recording, so
    a changed recording gets a new file. An intact file is not written again. Raises TtsMetaError as `decode_audio`, and
    if the file cannot be written.
    """
    key = sha256_audio(audio)[:32]
    path = folder / key[:2] / f"{key}{SPEED_MARK}{speed:g}.flac"
    return path, _seconds(path) or _write(path, audio, speed)


def perturbed_utterance(utterance: Utterance, speed: float, copy: Path, seconds: float) -> Utterance:
    """Return the utterance of the copy of a recording at another speed.

    At speed 0.9, speaker `ls84` becomes `ls84@0.9`, and ids change in the same way. Split `train` becomes
    `train_perturbed`; an utterance without a split remains without one.
    """
    mark = f"{SPEED_MARK}{speed:g}"
    return dataclasses.replace(
        utterance,
        id=utterance.id + mark,
        speaker=utterance.speaker + mark,
        audio=copy,
        start=None,
        end=None,
        seconds=seconds,
        split=None if utterance.split is None else utterance.split + PERTURBED_SUFFIX,
    )


def _seconds(path: Path) -> float | None:
    """Return the duration of a recording, or None if it is missing or damaged."""
    from tts_meta.audio.io import decode_audio

    try:
        samples, rate = decode_audio(path)
    except TtsMetaError:
        return None
    return len(samples) / rate


def _write(path: Path, audio: Path, speed: float) -> float:
    """Write a recording at another speed, atomically, and return its duration."""
    import numpy as np
    import soundfile

    from tts_meta.audio.io import decode_audio, to_mono

    samples, source_rate = decode_audio(audio)
    mono, rate = to_mono(samples, source_rate, source_rate), round(source_rate * speed)
    content = io.BytesIO()
    try:
        # The file is encoded in memory, because libsndfile does not report a full disk.
        soundfile.write(content, mono / max(1.0, np.abs(mono).max()), rate, format="FLAC", subtype="PCM_16")
    except (soundfile.SoundFileError, ValueError) as error:
        raise TtsMetaError(f"{audio}: cannot be written as FLAC at {rate} Hz ({error}); resample it") from error
    encoded = content.getvalue()
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded)
        if temporary.stat().st_size != len(encoded):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return len(mono) / rate
