"""Made speakers: recordings played faster or slower, whose voices are as of smaller or larger people.

The samples stay as they are and are given another rate, so that pitch, formants and tempo change by one factor. Few
speakers become many, for meta-learning and pretraining alike: as in recognisers' speed perturbation (Ko et al. 2015),
where each copy counts as another speaker (Yamamoto et al. 2019).
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from tts_meta.audio.io import decode_audio
from tts_meta.corpus import SPEED_MARK, Manifest, Utterance
from tts_meta.errors import UsageError

SUFFIX = "_made"
"""Made speakers of split `train` are in split `train_made`."""
_SLOWEST, _FASTEST = 0.5, 2.0


def make_speakers(
    manifest: Manifest, speeds: Sequence[float], folder: Path, splits: Sequence[str] = ()
) -> list[Utterance]:
    """Write each utterance of the `splits`, of all where none is named, at each speed as FLAC into `folder`.

    Speaker `ls84` at speed .9 is `ls84@0.9`, and so are ids. What lies there already, and is no older than the
    recording, is left as it is. Raises UsageError for a speed that no voice has, or an unknown split; TtsMetaError as
    `decode_audio`.
    """
    for speed in speeds:
        if not _SLOWEST <= speed <= _FASTEST or speed == 1 or not math.isfinite(speed):
            raise UsageError(f"a speed of {speed:g} makes no other speaker; give some from {_SLOWEST} to {_FASTEST}")
    chosen = manifest.of_split(*splits) if splits else manifest
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(utterance, speed) for speed in dict.fromkeys(speeds) for utterance in chosen]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: _make(job[0], job[1], folder), jobs))


def _make(utterance: Utterance, speed: float, folder: Path) -> Utterance:
    import soundfile

    mark = f"{SPEED_MARK}{speed:g}"
    path = folder / f"{quote(utterance.id, safe='')}{mark}.flac"
    if not path.exists() or path.stat().st_mtime < utterance.audio.stat().st_mtime:
        samples, rate = decode_audio(utterance.audio)
        # Not by `atomic_file`, which waits for the disk: there are thousands, and each can be made again.
        unfinished = path.with_suffix(".part")
        soundfile.write(unfinished, samples, round(rate * speed), format="FLAC", subtype="PCM_16")
        unfinished.replace(path)
    return dataclasses.replace(
        utterance,
        id=utterance.id + mark,
        speaker=utterance.speaker + mark,
        audio=path.resolve(),
        seconds=round(utterance.seconds / speed, 6),
        split=(utterance.split or "") + SUFFIX,
    )
