"""`Spool`: a list on disk, so that memory does not grow with the corpus."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from tts_meta.errors import TtsMetaError

Item = TypeVar("Item")

_IN_MEMORY = 2**24
"""Bytes of a list that stays in memory."""


class Spool(Generic[Item]):
    """A list that is filled once and then read, from the beginning and by one reader at a time.

    The file has no name, so nothing remains of it when the process ends. Raises TtsMetaError if the disk is full.
    """

    def __init__(self, near: Path) -> None:
        """near: a file on the disk to use; its folder need not exist."""
        self._folder = next(parent for parent in near.absolute().parents if parent.is_dir())
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(self._folder))  # noqa: SIM115
        self._length = 0

    def append(self, item: Item) -> None:
        try:
            pickle.dump(item, self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise TtsMetaError(
                f"cannot write a temporary list in {self._folder}: {error.strerror}; free some space"
            ) from error
        self._length += 1

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Item]:
        try:
            self._file.seek(0)
        except OSError as error:
            raise TtsMetaError(
                f"cannot write a temporary list in {self._folder}: {error.strerror}; free some space"
            ) from error
        for _ in range(self._length):
            yield pickle.load(self._file)

    def close(self) -> None:
        self._file.close()
