"""`Recording`, one entry of a corpus from a reader, and its checks for the manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_meta.corpus import Utterance, unperturbed_name
from tts_meta.corpus.utterance import part_fault

NO_TRANSCRIPT = "no transcript"
"""Beginning of the fault of a recording without a text."""


@dataclass(frozen=True)
class Recording:
    """One entry of a corpus, usable or not.

    `audio` is None if there is no file. `start` and `end` select a part of a longer recording, in seconds from the
    start of the file. `listed_in` is the list or table that contains the entry, and `line` is its line, from 1. Both
    are None if the entry is only a recording. `fault` is the reader's reason to drop the entry, such as a missing
    transcript. `asr_confidence` is set if the text is from speech recognition.
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
    asr_confidence: float | None = None

    @property
    def lacks_text(self) -> bool:
        """Whether only the text is missing, so that speech recognition makes the entry usable."""
        if self.fault is not None:
            return self.fault.startswith(NO_TRANSCRIPT)
        return not self.text.split()


def fault_before_reading(recording: Recording) -> str | None:
    """Return the reason why a recording cannot be used, as far as it is known without reading its file, or None."""
    if recording.fault is not None:
        return recording.fault
    if unperturbed_name(recording.id) != recording.id or unperturbed_name(recording.speaker) != recording.speaker:
        return "the id or speaker ends with a speed such as @0.9, which marks speed-perturbed copies"
    # `Path.is_file` would raise an error for a name that is too long.
    if recording.audio is None or not os.path.isfile(recording.audio):
        return "missing audio"
    if not recording.text.split():
        return "empty text"
    return part_fault(recording.start, recording.end)


def to_utterance(recording: Recording, seconds: float) -> Utterance | str:
    """Return the utterance of a recording that was read and is `seconds` long, or the fault of its fields.

    White space in the text becomes single spaces.
    """
    if recording.audio is None:
        return "missing audio"
    utterance = Utterance(
        id=recording.id,
        speaker=recording.speaker,
        audio=recording.audio,
        seconds=seconds,
        text=" ".join(recording.text.split()),
        gender=recording.gender,
        language=recording.language,
        split=recording.split,
        accent=recording.accent,
        start=recording.start,
        end=recording.end,
        asr_confidence=recording.asr_confidence,
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
