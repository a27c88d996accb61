"""`Recording`, one entry of a corpus from a reader, and `to_utterance`, which checks it for the manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_meta.audio.speech import load_speech
from tts_meta.audio.trimming import AudioConfig
from tts_meta.corpus import Utterance, unperturbed_name
from tts_meta.corpus.audio_part import part_of
from tts_meta.corpus.utterance import part_fault
from tts_meta.errors import TtsMetaError


@dataclass(frozen=True)
class Recording:
    """One entry of a corpus, usable or not.

    `audio` is None if there is no file. `start` and `end` select a part of a longer recording, in seconds from the
    start of the file. `listed_in` is the list or table that contains the entry, and `line` is its line, from 1. Both
    are None if the entry is only a recording. `fault` is the reader's reason to drop the entry, such as a missing
    transcript.
    """

    id: str
    speaker: str
    audio: Path | None
    text: str = ""
    gender: str | None = None
    language: str | None = None
    split: str | None = None
    fault: str | None = None
    accent: str | None = None
    start: float | None = None
    end: float | None = None
    listed_in: Path | None = None
    line: int | None = None


def to_utterance(recording: Recording) -> Utterance | str:
    """Return the utterance of a recording, or the reason why the recording cannot be used.

    The recording is decoded completely, with the same checks as in training and cloning: see `load_speech`. White space
    in the text becomes single spaces.
    """
    if recording.fault is not None:
        return recording.fault
    if unperturbed_name(recording.id) != recording.id or unperturbed_name(recording.speaker) != recording.speaker:
        return "the id or speaker ends with a speed such as @0.9, which marks speed-perturbed copies"
    # `Path.is_file` would raise an error for a name that is too long.
    if recording.audio is None or not os.path.isfile(recording.audio):
        return "missing audio"
    text = " ".join(recording.text.split())
    if not text:
        return "empty text"
    source = part_of(recording.audio, recording.start, recording.end)
    fault = part_fault(recording.start, recording.end)
    if fault is not None:
        return fault
    try:
        seconds = load_speech(source, AudioConfig()).seconds
    except TtsMetaError as error:
        return f"unusable audio: {str(error).removeprefix(f'{source}: ')}"
    utterance = Utterance(
        id=recording.id,
        speaker=recording.speaker,
        audio=recording.audio,
        seconds=seconds,
        text=text,
        gender=recording.gender,
        language=recording.language,
        split=recording.split,
        accent=recording.accent,
        start=recording.start,
        end=recording.end,
    )
    return utterance.fault() or utterance


def dropped_line(recording: Recording, reason: str, out_dir: Path) -> dict[str, Any]:
    """Return the line of `out_dir/dropped.jsonl` for an entry that is not used. Paths are relative to `out_dir`."""

    def relative(path: Path | None) -> str | None:
        return None if path is None else os.path.relpath(path, out_dir.resolve())

    return {
        "id": recording.id,
        "speaker": recording.speaker,
        "audio": relative(recording.audio),
        "file": relative(recording.listed_in),
        "line": recording.line,
        "reason": reason,
    }
