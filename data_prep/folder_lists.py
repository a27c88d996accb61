"""Search for the transcript lists of a folder of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_meta.corpus import match_transcripts, name_stem, read_transcripts
from tts_meta.errors import TtsMetaError, UsageError

METADATA = "metadata.csv"
_NAMES = ("metadata", "transcripts", "transcript", "transcriptions", "filelist")
_TABLES = (".csv", ".tsv", ".psv", ".list", ".jsonl", ".ndjson")
_PREPARE_OUTPUTS = ("manifest.jsonl", "dropped.jsonl")


def find_lists(corpus_dir: Path, files: Sequence[Path], audio: Sequence[Path]) -> list[Path]:
    """Return the list in the corpus folder or, if there is none, each `metadata.csv` in a subfolder.

    A `metadata.csv` below the folder of another one is left out. A list is a file with a usual name, or a table that
    names at least one of the recordings `audio`. Raises TtsMetaError if the only list cannot be read. Raises UsageError
    if there are several lists and none is `metadata.csv`.
    """
    top_level = [path for path in files if path.parent == corpus_dir and path.name not in _PREPARE_OUTPUTS]
    if corpus_dir / METADATA in top_level:
        return [corpus_dir / METADATA]
    stems = {name_stem(path.name) for path in audio if path.parent == corpus_dir}
    usual = [path for path in top_level if _has_usual_name(path) and path.stem not in stems]
    lists = usual or _tables(top_level, files, audio)
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists[:4])
        raise UsageError(f"{corpus_dir} has several transcript lists ({names}); choose one with --transcripts")
    if lists:
        return lists
    below: list[Path] = []
    for path in sorted(files, key=lambda path: len(path.parts)):
        if path.name == METADATA and not any(path.is_relative_to(other.parent) for other in below):
            below.append(path)
    return below


def _has_usual_name(path: Path) -> bool:
    stem, suffix = path.stem.lower(), path.suffix.lower()
    return (stem in _NAMES and suffix in (*_TABLES, ".txt")) or (stem.endswith("list") and suffix == ".txt")


def _tables(candidates: Sequence[Path], files: Sequence[Path], audio: Sequence[Path]) -> list[Path]:
    """Return the tables that name recordings. A folder may have other tables, such as a table of speakers."""
    tables, fault = [], None
    for path in candidates:
        if path.suffix.lower() in _TABLES:
            try:
                if match_transcripts(read_transcripts(path), audio, path, [path.parent]).entry_of:
                    tables.append(path)
            except TtsMetaError as error:
                fault = fault or error
    if not tables and fault is not None and not any(path.suffix.lower() == ".txt" for path in files):
        raise fault
    return tables
