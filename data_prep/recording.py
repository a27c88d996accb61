"""What a corpus reader finds, and the checks that every recording passes to become an utterance."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tts_meta.corpus import Utterance, recording_of

_UNKNOWN_LENGTH = 2**62


@dataclass(frozen=True)
class Recording:
    """One entry of a corpus, usable or not: `audio` is None where no file was found.

    `fault` is the reader's own reason to drop it, such as a transcript that is not there.
    """

    id: str
    speaker: str
    audio: Path | None
    text: str = ""
    gender: str | None = None
    language: str | None = None
    split: str | None = None
    fault: str | None = None


def to_utterance(recording: Recording) -> Utterance | str:
    """Return the utterance, white space of its text made single spaces, or the reason why there is none."""
    if recording.fault is not None:
        return recording.fault
    if recording_of(recording.id) != recording.id or recording_of(recording.speaker) != recording.speaker:
        return "the id or speaker ends like that of a recording at another speed, such as @0.9"
    # Not by `Path.is_file`, which raises an error for a name that is too long.
    if recording.audio is None or not os.path.isfile(recording.audio):
        return "missing audio"
    text = " ".join(recording.text.split())
    if not text:
        return "empty text"
    seconds = _seconds(recording.audio)
    if isinstance(seconds, str):
        return seconds
    utterance = Utterance(
        id=recording.id,
        speaker=recording.speaker,
        audio=recording.audio,
        seconds=seconds,
        text=text,
        gender=recording.gender,
        language=recording.language,
        split=recording.split,
    )
    return utterance.fault() or utterance


def _seconds(audio: Path) -> float | str:
    """The duration that the file's header tells, or the reason why it cannot be read."""
    import soundfile

    try:
        info = soundfile.info(str(audio))
    except (soundfile.SoundFileError, OSError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        return f"unreadable audio: {reason.strip().rstrip('.')}"
    except UnicodeEncodeError:
        return "unreadable audio: the file name is not UTF-8"
    if info.frames == 0:
        return "unreadable audio: it holds no samples"
    if info.frames >= _UNKNOWN_LENGTH:
        return "unreadable audio: cut off, its length is unknown"
    return round(info.frames / info.samplerate, 6)
