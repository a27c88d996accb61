"""What a corpus reader finds, and the checks that every recording passes to become an utterance."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tts_meta.audio.speech import load_speech
from tts_meta.audio.trimming import AudioConfig
from tts_meta.corpus import Utterance, recording_of
from tts_meta.errors import TtsMetaError


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
    """Return the utterance, white space of its text made single spaces, or the reason why there is none.

    The recording is decoded to its end, by the rule of training and cloning: see `load_speech`.
    """
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
    try:
        seconds = load_speech(recording.audio, AudioConfig()).seconds
    except TtsMetaError as error:
        return f"unusable audio: {str(error).removeprefix(f'{recording.audio}: ')}"
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
