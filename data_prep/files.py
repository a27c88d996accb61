"""Search for recordings and transcripts in the folders of a corpus, and ids of recordings from their paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tts_meta.corpus import AUDIO_SUFFIXES, name_stem, to_nfc
from tts_meta.corpus.text_file import printable_path, read_text_file
from tts_meta.errors import TtsMetaError

MAX_TRANSCRIPT_BYTES = 2**20
"""Largest size of a file that contains one transcript."""


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted; symbolic links are followed, hidden files and folders are skipped.

    Raises TtsMetaError if a folder cannot be read, because its recordings would be missing without notice.
    """
    return sorted(_walk(folder, frozenset()))


def _walk(folder: Path, parents: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in parents:
        return  # a link to a folder that contains it
    try:
        with os.scandir(folder) as entries:
            names = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        reason = error.strerror or error
        raise TtsMetaError(f"cannot read the folder {printable_path(folder)}: {reason}; check the folder") from error
    for name, is_folder in names:
        if is_folder:
            yield from _walk(folder / name, parents | {real})
        else:
            yield folder / name


def subfolder_with(folder: Path, name: str) -> Path:
    """Return the folder if it contains `name`, or else its first subfolder that does, or else the folder."""
    if (folder / name).exists():
        return folder
    subfolders = sorted(path for path in folder.iterdir() if (path / name).exists())
    return subfolders[0] if subfolders else folder


def read_transcript(path: Path) -> tuple[str, str | None]:
    """Return the text of a file with one transcript and None, or an empty text and the fault of the file."""
    try:
        return read_text_file(path, MAX_TRANSCRIPT_BYTES), None
    except TtsMetaError as error:
        reason = str(error).removeprefix(f"{printable_path(path)}: ").partition(";")[0]
        return "", f"unreadable transcript: {reason}"


def relative_id(path: Path, folder: Path) -> str:
    """Return a file's path below a folder, in Unicode form NFC, with slashes and without the suffix of a recording."""
    return to_nfc(name_stem(path.relative_to(folder).as_posix()))


def part_id(identity: str, start: float | None, end: float | None) -> str:
    """Return the id of a part of a recording: that of the recording, with start and end in milliseconds."""
    if start is None and end is None:
        return identity
    return identity + f"-{round(1000 * (start or 0)):07d}" + ("" if end is None else f"-{round(1000 * end):07d}")


def by_preference(audio: Iterable[Path]) -> list[Path]:
    """Sort recordings by name without suffix, and recordings of one name by the order of `AUDIO_SUFFIXES`."""
    return sorted(audio, key=lambda path: (name_stem(str(path)), AUDIO_SUFFIXES.index(path.suffix.lower()), str(path)))


def first_of_stem(audio: Iterable[Path]) -> dict[Path, Path]:
    """Return the first recording of each path without suffix."""
    first: dict[Path, Path] = {}
    for path in audio:
        first.setdefault(path.with_name(name_stem(path.name)), path)
    return first
