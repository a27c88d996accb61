"""Which files of a folder of recordings are lists of transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_meta.corpus import match_transcripts, name_stem, read_transcripts
from tts_meta.errors import TtsMetaError, UsageError

METADATA = "metadata.csv"
_NAMES = ("metadata", "transcripts", "transcript", "transcriptions", "filelist")
_TABLES = (".csv", ".tsv", ".psv", ".list", ".jsonl", ".ndjson")
_OF_PREPARE = ("manifest.jsonl", "dropped.jsonl")


def find_lists(corpus_dir: Path, files: Sequence[Path], audio: Sequence[Path]) -> list[Path]:
    """Return the list in the folder itself, else each `metadata.csv` below it that lies in no other's folder.

    A file with a usual name is a list, and so is a table that names at least one of the recordings `audio`. Raises
    TtsMetaError where the only list cannot be read, UsageError where several lists are there without a `metadata.csv`.
    """
    own = [path for path in files if path.parent == corpus_dir and path.name not in _OF_PREPARE]
    if corpus_dir / METADATA in own:
        return [corpus_dir / METADATA]
    stems = {name_stem(path.name) for path in audio if path.parent == corpus_dir}
    named = [path for path in own if _has_usual_name(path) and path.stem not in stems]
    found = named or _tables(own, files, audio)
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:4])
        raise UsageError(f"{corpus_dir} holds several lists of transcripts ({names}); choose one with --transcripts")
    if found:
        return found
    below: list[Path] = []
    for path in sorted(files, key=lambda path: len(path.parts)):
        if path.name == METADATA and not any(path.is_relative_to(other.parent) for other in below):
            below.append(path)
    return below


def _has_usual_name(path: Path) -> bool:
    stem, suffix = path.stem.lower(), path.suffix.lower()
    return (stem in _NAMES and suffix in (*_TABLES, ".txt")) or (stem.endswith("list") and suffix == ".txt")


def _tables(own: Sequence[Path], files: Sequence[Path], audio: Sequence[Path]) -> list[Path]:
    """The tables that name recordings. Other tables may lie there too, such as one of speakers."""
    found, fault = [], None
    for path in own:
        if path.suffix.lower() in _TABLES:
            try:
                if match_transcripts(read_transcripts(path), audio, path, [path.parent]).found:
                    found.append(path)
            except TtsMetaError as error:
                fault = fault or error
    if not found and fault is not None and not any(path.suffix.lower() == ".txt" for path in files):
        raise fault
    return found
