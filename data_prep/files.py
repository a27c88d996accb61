"""The files of a corpus, found in any depth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tts_meta.corpus import AUDIO_SUFFIXES, composed, name_stem
from tts_meta.corpus.text_file import read_text_file, shown_path
from tts_meta.errors import TtsMetaError

LARGEST_TRANSCRIPT = 2**20
"""Bytes of a file that holds one transcript, at most."""


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted, also behind symbolic links; hidden files and folders are left out.

    Raises TtsMetaError where a folder cannot be read, since its recordings would be lost without a word.
    """
    return sorted(_walk(folder, frozenset()))


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return  # a link to a folder that it lies in
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise TtsMetaError(f"cannot read the folder {shown_path(folder)}: {error.strerror or error}") from error
    for name, is_folder in found:
        if is_folder:
            yield from _walk(folder / name, above | {real})
        else:
            yield folder / name


def read_transcript(path: Path) -> tuple[str, str | None]:
    """The text of a file that holds one transcript, and None; or an empty text and why it cannot be read."""
    try:
        return read_text_file(path, LARGEST_TRANSCRIPT), None
    except TtsMetaError as error:
        reason = str(error).removeprefix(f"{shown_path(path)}: ").partition(";")[0]
        return "", f"unreadable transcript: {reason}"


def relative_id(path: Path, folder: Path) -> str:
    """A file's path below a folder, composed (NFC), with slashes and without the suffix of a recording."""
    return composed(name_stem(path.relative_to(folder).as_posix()))


def by_preference(audio: Iterable[Path]) -> list[Path]:
    """Recordings in the order of their names, those of one name in the order of `AUDIO_SUFFIXES`."""
    return sorted(audio, key=lambda path: (name_stem(str(path)), AUDIO_SUFFIXES.index(path.suffix.lower()), str(path)))


def first_of_stem(audio: Iterable[Path]) -> dict[Path, Path]:
    """The first recording of each path without suffix."""
    first: dict[Path, Path] = {}
    for path in audio:
        first.setdefault(path.with_name(name_stem(path.name)), path)
    return first
