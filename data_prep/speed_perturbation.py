"""Made speakers: recordings played faster or slower, whose voices are as of smaller or larger people.

The samples stay as they are and are given another rate, so that pitch, formants and tempo change by one factor. Few
speakers become many, for meta-learning and pretraining alike: as in recognisers' speed perturbation (Ko et al. 2015),
where each copy counts as another speaker (Yamamoto et al. 2019).
"""

from __future__ import annotations

import dataclasses
import errno
import io
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tts_meta.audio.io import decode_audio, to_mono
from tts_meta.corpus import SPEED_MARK, Manifest, Utterance
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file, sha256_file

SUFFIX = "_made"
"""Made speakers of split `train` are in split `train_made`."""
_SLOWEST, _FASTEST = 0.5, 2.0


def make_speakers(
    manifest: Manifest,
    speeds: Sequence[float],
    folder: Path,
    splits: Sequence[str] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Utterance]:
    """Write each utterance of the `splits`, of all where none is named, at each speed as FLAC into `folder`.

    Speaker `ls84` at speed .9 is `ls84@0.9`, and so are ids; a split `train` becomes `train_made`, and an utterance
    without a split stays without one. A file is named by the content of its recording, so that a recording that was
    replaced has another file, and an undamaged file is not written again. `report` receives the numbers of recordings
    made, and of all. Raises UsageError for a speed that no voice has, or an unknown split; TtsMetaError as
    `decode_audio`, and where a file cannot be written.
    """
    chosen = manifest.of_split(*splits)
    jobs = [(utterance, speed) for speed in check_speeds(speeds) for utterance in chosen]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = []
        for utterance in pool.map(lambda job: _make(job[0], job[1], folder), jobs):
            made.append(utterance)
            report(len(made), len(jobs))
        return made


def check_speeds(speeds: Sequence[float]) -> list[float]:
    """The speeds to the six digits that names have, each once.

    Raises UsageError for a speed at which a voice is no other, or none.
    """
    rounded = [float(f"{speed:g}") for speed in speeds]
    for speed in rounded:
        if not _SLOWEST <= speed <= _FASTEST or speed == 1 or not math.isfinite(speed):
            raise UsageError(f"a speed of {speed:g} makes no other speaker; give some from {_SLOWEST} to {_FASTEST}")
    return list(dict.fromkeys(rounded))


def _make(utterance: Utterance, speed: float, folder: Path) -> Utterance:
    mark = f"{SPEED_MARK}{speed:g}"
    key = sha256_file(utterance.audio)[:32]
    path = folder / key[:2] / f"{key}{mark}.flac"
    seconds = _seconds(path) or _write(path, utterance.audio, speed)
    return dataclasses.replace(
        utterance,
        id=utterance.id + mark,
        speaker=utterance.speaker + mark,
        audio=path.resolve(),
        seconds=round(seconds, 6),
        split=None if utterance.split is None else utterance.split + SUFFIX,
    )


def _seconds(path: Path) -> float | None:
    """The duration of a whole recording; None where there is none, or a damaged one."""
    try:
        samples, rate = decode_audio(path)
    except TtsMetaError:
        return None
    return len(samples) / rate


def _write(path: Path, audio: Path, speed: float) -> float:
    """Write a recording at another speed, whole or not at all, and return its duration."""
    import soundfile

    samples, source_rate = decode_audio(audio)
    mono, rate = to_mono(samples, source_rate, source_rate), round(source_rate * speed)
    content = io.BytesIO()
    try:
        # In memory, since libsndfile does not say that a disk is full.
        soundfile.write(content, mono / max(1.0, np.abs(mono).max()), rate, format="FLAC", subtype="PCM_16")
    except (soundfile.SoundFileError, ValueError) as error:
        raise TtsMetaError(f"{audio}: cannot be written as FLAC of {rate} Hz ({error}); resample it") from error
    encoded = content.getvalue()
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded)
        if temporary.stat().st_size != len(encoded):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return len(mono) / rate
