"""`Entry`, the result of one recording, and `write_manifest`, which writes entries as manifest and list of faults."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.recording import NO_TRANSCRIPT
from tts_meta.corpus.manifest import ManifestLines
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file

MANIFEST_FILE = "manifest.jsonl"
DROPPED_FILE = "dropped.jsonl"

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """The lines of one recording.

    kept: its line in the manifest, or None if it is not used. dropped: its line in `dropped.jsonl`, if it is not used
    or another recording has its id. copies: the lines of its copies, one for each speed, or None for no copy.
    """

    kept: Fields | None
    dropped: Fields
    copies: tuple[Fields | None, ...] = ()


@dataclass(frozen=True)
class PreparedCorpus:
    """What was written: path of the manifest, numbers of utterances and dropped recordings, speakers, total seconds."""

    path: Path
    utterances: int
    speakers: tuple[str, ...]
    seconds: float
    dropped: int


class NothingUsableError(TtsMetaError):
    """No recording of a corpus can be used; `dropped.jsonl` has the reasons."""


class _NothingKept(Exception):
    pass


def write_manifest(
    entries: Callable[[], Iterator[Entry]], speeds: int, out_dir: Path, corpus_dir: str
) -> PreparedCorpus:
    """Write `manifest.jsonl` and `dropped.jsonl`, with one entry in memory at a time.

    The copies of the first speed follow all recordings, then those of the second speed. `entries` is called once for
    the recordings and once for each speed. The first recording of an id is kept. Raises TtsMetaError if no recording is
    usable (then only `dropped.jsonl` is written), or a file cannot be written.
    """
    seconds, speakers, first_reason, dropped = array("d"), set[str](), "", 0
    with (
        atomic_file(out_dir / DROPPED_FILE) as dropped_file,
        suppress(_NothingKept),
        atomic_file(out_dir / MANIFEST_FILE) as manifest_file,
        open(manifest_file, "w", encoding="utf-8", newline="\n") as manifest,
        open(dropped_file, "w", encoding="utf-8", newline="\n") as faults,
    ):
        for entry, is_kept in _first_of_id(entries()):
            if is_kept and entry.kept is not None:
                _write(manifest, entry.kept, seconds, speakers)
            else:
                faults.write(json.dumps(entry.dropped) + "\n")
                first_reason = first_reason or entry.dropped["reason"]
                dropped += 1
        for number in range(speeds):
            for entry, is_kept in _first_of_id(entries()):
                copy = entry.copies[number] if is_kept else None
                if copy is not None:
                    _write(manifest, copy, seconds, speakers)
        if not seconds:
            raise _NothingKept
    if not seconds:
        raise NothingUsableError(
            f"no recording of {corpus_dir} can be used; reason of the first of {dropped}: {first_reason}; "
            f"{_asr_hint(first_reason)}see {out_dir / DROPPED_FILE}"
        )
    return PreparedCorpus(out_dir / MANIFEST_FILE, len(seconds), tuple(sorted(speakers)), math.fsum(seconds), dropped)


def _asr_hint(reason: str) -> str:
    """Return a hint if speech recognition makes the recording usable."""
    is_missing = reason.startswith(NO_TRANSCRIPT) or reason == "empty text" or reason.endswith("cut it into sentences")
    return "--asr transcribes recordings and cuts long ones into sentences; " if is_missing else ""


def _write(manifest: Any, fields: Fields, seconds: array[float], speakers: set[str]) -> None:
    manifest.write(ManifestLines.line(fields))
    seconds.append(fields["seconds"])
    speakers.add(fields["speaker"])


def _first_of_id(entries: Iterator[Entry]) -> Iterator[tuple[Entry, bool]]:
    """Yield each entry, and whether it is used and no entry before it has its id."""
    ids = set[str]()
    for entry in entries:
        is_kept = entry.kept is not None and entry.kept["id"] not in ids
        if is_kept and entry.kept is not None:
            ids.add(entry.kept["id"])
        yield entry, is_kept
