"""The work on one recording: read it completely, and on request write its log-mel or a copy at another speed.

A job runs in a worker process. Only its functions import the audio package and with it PyTorch.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.pipeline.asr_task import AsrTask, RecognisedSlice, UnusableSpeech
from tts_meta.errors import TtsMetaError

if TYPE_CHECKING:
    from tts_meta.audio.features import FeatureCache

_VERSION = 1
"""Version of the checks of a recording. Raise it when they change, so that old journals are not used."""


@dataclass(frozen=True, slots=True)
class AudioResult:
    """Duration of a recording in seconds, or the fault for which it is not used.

    file: path of the copy at another speed, relative to the folder of the copies. slices: the slices of a recording
    that was transcribed; an empty tuple if the recording is used as it is.
    """

    seconds: float | None = None
    fault: str | None = None
    file: str | None = None
    slices: tuple[RecognisedSlice, ...] | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the fields that are not None."""
        slices = None if self.slices is None else [list(part) for part in self.slices]
        fields = {"seconds": self.seconds, "fault": self.fault, "file": self.file, "slices": slices}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class AudioJob:
    """A recording and what to do with it.

    key: identifies the work and the state of the file, for the journal. audio: the recording, or a part of it
    (`#t=...`). features: folder of a feature cache to fill. speed, copies: write a copy at this speed into this folder.
    asr: transcribe the recording, and do nothing else.
    """

    key: bytes
    audio: str
    features: str | None = None
    speed: float | None = None
    copies: str | None = None
    asr: AsrTask | None = None

    def __str__(self) -> str:
        return self.audio

    @classmethod
    def create(
        cls,
        audio: Path,
        source: Path,
        features: Path | None = None,
        speed: float | None = None,
        copies: Path | None = None,
        asr: AsrTask | None = None,
    ) -> AudioJob | None:
        """Return the job of a recording, or None if there is no such file. source: `audio`, or a part of it."""
        try:
            status = os.stat(audio)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        options = (str(features or ""), "" if speed is None else f"{speed:g}", str(copies or ""))
        parts = (str(_VERSION), str(source), str(status.st_size), str(status.st_mtime_ns), *options)
        parts += () if asr is None else asr.identity
        key = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()[:16]
        return cls(key, str(source), options[0] or None, speed, options[2] or None, asr)


def run_job(job: AudioJob) -> AudioResult:
    """Do the work of a job.

    Raises TtsMetaError if an output cannot be written, a copy cannot be made, or there is no recogniser.
    """
    if job.asr is not None:
        try:
            return AudioResult(slices=job.asr.run(Path(job.audio)))
        except UnusableSpeech as error:
            return AudioResult(fault=str(error).removeprefix(f"{job.audio}: "))
    return _check(job) if job.speed is None else _copy(job, job.speed)


def _check(job: AudioJob) -> AudioResult:
    from tts_meta.audio.speech import load_speech
    from tts_meta.audio.trimming import AudioConfig

    try:
        speech = load_speech(job.audio, AudioConfig())
    except TtsMetaError as error:
        return AudioResult(fault=f"unusable audio: {str(error).removeprefix(f'{job.audio}: ')}")
    if job.features is not None:
        feature_cache(job.features).add(job.audio, speech.waveform)
    return AudioResult(speech.seconds)


def _copy(job: AudioJob, speed: float) -> AudioResult:
    from data_prep.speed_perturbation import copy_at_speed

    folder = Path(job.copies or ".")
    path, seconds = copy_at_speed(Path(job.audio), speed, folder)
    if job.features is not None:
        from tts_meta.audio.speech import load_speech

        features = feature_cache(job.features)
        try:
            waveform = load_speech(path, features.config).waveform
        except TtsMetaError:  # training reports a copy that it cannot use
            pass
        else:
            features.add(path, waveform)
    return AudioResult(round(seconds, 6), file=path.relative_to(folder).as_posix())


@functools.cache
def feature_cache(folder: str) -> FeatureCache:
    """Return the feature cache of a folder with the default audio settings. A process opens it once."""
    from tts_meta.audio.features import FeatureCache
    from tts_meta.audio.trimming import AudioConfig

    return FeatureCache(folder, AudioConfig())
