"""The list of slices that `clone --asr` writes, for correction: a table that `--transcripts` reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tts_meta.corpus.text_file import printable_path
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file

COLUMNS = ("audio", "start", "end", "text", "confidence", "note")


@dataclass(frozen=True, slots=True)
class ListedSlice:
    """A line of the list: a recording, or the part of one from `start` to `end`, in seconds, with its text.

    An empty text leaves the slice out; the note then says why. confidence: 0 to 1, or None if the text was given.
    """

    audio: Path
    text: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    note: str = ""


def write_slice_list(path: Path, slices: Iterable[ListedSlice]) -> None:
    """Write a list as a table with tabs, with recordings relative to its folder.

    Raises TtsMetaError if the file cannot be written, or the name of a recording has a tab or a line end.
    """
    folder = path.parent.resolve()
    lines = ["\t".join(COLUMNS)]
    for item in slices:
        audio = Path(os.path.relpath(item.audio.resolve(), folder)).as_posix()
        if any(character in audio for character in "\t\r\n"):
            raise TtsMetaError(f"{printable_path(item.audio)}: a name with a tab or a line end; rename the recording")
        times = ["" if seconds is None else f"{seconds:.3f}" for seconds in (item.start, item.end)]
        confidence = "" if item.confidence is None else f"{item.confidence:.3f}"
        texts = [" ".join(text.split()) for text in (item.text, item.note)]
        lines.append("\t".join([audio, *times, texts[0], confidence, texts[1]]))
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
