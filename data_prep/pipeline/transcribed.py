"""`transcribed`: give the recordings of a corpus without a text their transcripts, and cut long ones into slices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from data_prep.files import part_id
from data_prep.pipeline.asr_task import AsrTask, RecognisedSlice
from data_prep.pipeline.audio_job import AudioJob
from data_prep.pipeline.journal import Journal
from data_prep.pipeline.spool import Spool
from data_prep.pipeline.work import Report, finish_jobs
from data_prep.recording import Recording
from tts_meta.corpus import name_stem
from tts_meta.corpus.audio_part import part_of
from tts_meta.corpus.languages import primary_language
from tts_meta.executors import Workers

_MIN_LONG_BYTES = 20_000
"""A smaller file is shorter than a minute in every format of speech."""


@dataclass(frozen=True)
class AsrOptions:
    """The Whisper model of `prepare --asr`: a name or a folder; None is the one that `find_whisper` finds."""

    whisper: str | None = None


@dataclass(frozen=True, slots=True)
class _Planned:
    recording: Recording
    job: AudioJob | None


def transcribed(
    recordings: Spool[Recording], options: AsrOptions, journal: Journal, workers: Workers, report: Report, near: Path
) -> Iterator[Recording]:
    """Yield the recordings with the transcripts of those that lack one, and the slices of long recordings.

    The text of a long recording is kept, and distributed over its slices. Results are in the journal, so each recording
    is transcribed once. near: an output file, on whose disk the list is kept. Raises TtsMetaError if there is no
    Whisper model.
    """
    with closing(Spool[_Planned](near)) as planned:
        whisper: tuple[str, str] | None = None
        for recording in recordings:
            job = None
            if _may_need_asr(recording):
                whisper = whisper or _find_model(options.whisper)
                job = _job(recording, *whisper)
            planned.append(_Planned(recording, job))
        if whisper is not None:
            # One recording takes longer than the start of a process, so only a single one is transcribed here.
            limit = 1 if workers.jobs > 1 else None
            finish_jobs(lambda: (item.job for item in planned), journal, workers, report, limit)
        for item in planned:
            if item.job is None:
                yield item.recording
            else:
                result = journal.results[item.job.key]
                yield from _expanded(item.recording, result.slices or (), result.fault)


def _find_model(whisper: str | None) -> tuple[str, str]:
    """Return folder or name of the model, and its identity."""
    from tts_meta.asr.whisper import find_whisper, whisper_identity

    return str(find_whisper(whisper)), whisper_identity(whisper)


def _may_need_asr(recording: Recording) -> bool:
    """Return whether a recording lacks its text, or may be too long for one sentence."""
    if recording.audio is None or recording.lacks_text:
        return recording.audio is not None
    if recording.fault is not None or recording.start is not None or recording.end is not None:
        return False
    from tts_meta.audio.io import MAX_SECONDS
    from tts_meta.audio.long_recording import header_seconds

    try:
        is_large = recording.audio.stat().st_size > _MIN_LONG_BYTES
    except OSError:
        return False
    seconds = header_seconds(recording.audio) if is_large else 1.0
    return seconds == 0 or seconds > MAX_SECONDS


def _job(recording: Recording, whisper: str, model: str) -> AudioJob | None:
    assert recording.audio is not None
    text = None if recording.lacks_text else recording.text
    task = AsrTask(whisper, model, primary_language(recording.language), text)
    source = part_of(recording.audio, recording.start, recording.end)
    return AudioJob.create(recording.audio, source, asr=task)


def _expanded(recording: Recording, slices: tuple[RecognisedSlice, ...], fault: str | None) -> Iterator[Recording]:
    """Yield the recording with its transcript or its fault, or its slices."""
    has_new_text, identity = recording.lacks_text, recording.id
    if fault is not None:
        yield dataclasses.replace(recording, fault=fault)
    elif not slices:
        yield recording
    for part in slices:
        confidence = part.confidence if has_new_text else None
        made = dataclasses.replace(recording, id=name_stem(identity), text=part.text, fault=None)
        if part.start is not None:
            made = dataclasses.replace(
                made, id=part_id(name_stem(identity), part.start, part.end), start=part.start, end=part.end
            )
        if part.fault is not None:
            made = dataclasses.replace(made, fault=f'{part.fault}; recognised as "{part.text[:500]}"')
        yield dataclasses.replace(made, asr_confidence=confidence)
