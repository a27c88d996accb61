"""Reader of LibriTTS-R (Koizumi et al. 2023), which has the layout of LibriTTS, without the badly restored recordings.

The published archive `libritts_r_failed_speech_restoration_examples` lists the recordings whose restoration failed, in
files `SUBSET_bad_sample_list.txt` with lines `./SUBSET/SPEAKER/CHAPTER/ID.wav`. Unpack it into the corpus folder or
its parent. Without these files nothing is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep import libritts
from data_prep.recording import Recording
from data_prep.tables import Line, read_lines

NAME = "LibriTTS_R"
_LISTS = "*_bad_sample_list.txt"


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield what the reader of LibriTTS yields, with a fault for each recording in a published list of failures."""
    failed = {PurePosixPath(line.text.strip()).stem: line for table in _lists(corpus_dir) for line in read_lines(table)}
    for recording in libritts.read(corpus_dir):
        yield _with_failure(recording, failed.get(recording.id)) if recording.audio else recording


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of LibriTTS and the name or the lists of LibriTTS-R."""
    names = {corpus_dir.name, corpus_dir.parent.name, *(path.name for path in corpus_dir.iterdir())}
    return (NAME in names or bool(_lists(corpus_dir))) and libritts.is_layout(corpus_dir)


def _lists(corpus_dir: Path) -> list[Path]:
    folders = (corpus_dir, corpus_dir.parent)
    return sorted({path for folder in folders for depth in ("", "*/") for path in folder.glob(f"{depth}{_LISTS}")})


def _with_failure(recording: Recording, line: Line | None) -> Recording:
    if line is None:
        return recording
    fault = recording.fault or "speech restoration failed, according to the published list"
    return dataclasses.replace(recording, fault=fault, listed_in=line.table, line=line.number)
