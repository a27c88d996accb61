"""`slice_file` and `transcribe_file`: the transcripts of a recording, from its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tts_meta.asr.recording import Recogniser, Report, slice_recording, transcribe_sentence
from tts_meta.asr.words import Slice
from tts_meta.audio.io import MAX_SECONDS, read_audio
from tts_meta.audio.long_recording import header_seconds, read_long_recording
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.errors import TtsMetaError

SENTENCE_SECONDS = 30.0
"""A recording without a text is cut into slices if it is longer."""


def needs_slices(path: Path, has_text: bool) -> bool:
    """Return whether a recording is too long for one sentence.

    A recording with a text is cut only if no other function accepts it whole (`MAX_SECONDS`). Raises TtsMetaError as
    `read_long_recording`.
    """
    seconds = header_seconds(path) or len(read_long_recording(path, SPEECH_RATE)) / SPEECH_RATE
    return seconds > (MAX_SECONDS if has_text else SENTENCE_SECONDS)


def slice_file(
    path: Path,
    recogniser: Recogniser,
    language: str | None = None,
    text: str | None = None,
    report: Report = lambda done, total: None,
) -> list[Slice]:
    """Return the slices of a long recording: see `slice_recording`.

    Raises TtsMetaError, naming the file, if it cannot be read, there is no speech, or no slice can be used.
    """
    samples = read_long_recording(path, SPEECH_RATE)
    with _naming(path):
        slices = slice_recording(samples, recogniser, language, text, report)
    check_slices(path, slices)
    return slices


def check_slices(path: Path, slices: Sequence[Slice]) -> None:
    """Raise TtsMetaError if all slices of a recording have faults."""
    if all(part.fault is not None for part in slices):
        reason = f"; the first: {slices[0].fault}" if slices else ""
        raise TtsMetaError(f"{path}: none of {len(slices)} slices can be used{reason}")


def transcribe_file(path: Path, recogniser: Recogniser, language: str | None = None) -> Slice:
    """Return the transcript of a recording of one sentence, or of a part of a recording (`#t=...`).

    Raises TtsMetaError, naming the file, if it cannot be read, there is no speech, or the transcript has a fault.
    """
    samples = read_audio(path, SPEECH_RATE)
    with _naming(path):
        sentence = transcribe_sentence(samples, recogniser, language)
    if sentence.fault is not None:
        raise TtsMetaError(f'{path}: cannot be transcribed, {sentence.fault}; recognised as "{sentence.text[:200]}"')
    return sentence


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the name of the file before an error of the block."""
    try:
        yield
    except TtsMetaError as error:
        raise TtsMetaError(f"{path}: {error}") from error
