"""Reader of Mozilla Common Voice (Ardila et al. 2020): a folder for each language, with TSV tables and `clips`.

The tables have a header with at least `client_id`, `path` and `sentence`. The speaker is the client id. Gender, accent
and locale are read if their columns have a value. The split is the table that lists a clip, `train`, `dev` or `test`,
or else `validated`. Clips of other tables (`invalidated.tsv`, `other.tsv`) are not read. The fields have no quotes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.recording import Recording
from data_prep.tables import Line, read_columns, read_fields
from tts_meta.corpus import AUDIO_SUFFIXES, name_stem

AUDIO, VALIDATED, SPLITS = "clips", "validated.tsv", ("train", "dev", "test")
_REQUIRED = ("client_id", "path", "sentence")
_OTHER_TABLES = ("invalidated.tsv", "other.tsv")


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every line of `validated.tsv` and of the splits, and every clip that is in no table."""
    for folder in _language_folders(corpus_dir):
        used = set[str]()
        for split in SPLITS:
            table = folder / f"{split}.tsv"
            if table.is_file():
                yield from _read_table(table, split, used, skipped=frozenset())
        if (folder / VALIDATED).is_file():
            yield from _read_table(folder / VALIDATED, "validated", used, skipped=frozenset(used))
        yield from _unlisted(folder, used)


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of Common Voice."""
    return bool(_language_folders(corpus_dir))


def _language_folders(corpus_dir: Path) -> list[Path]:
    """Return the folders with clips and tables: the corpus folder itself, or folders in it or in a folder in it."""
    found = [path for depth in ("", "*/", "*/*/") for path in sorted(corpus_dir.glob(f"{depth}{AUDIO}"))]
    tables = (VALIDATED, *(f"{split}.tsv" for split in SPLITS))
    return [path.parent for path in found if any((path.parent / table).is_file() for table in tables)]


def _read_table(table: Path, split: str, used: set[str], skipped: frozenset[str]) -> Iterator[Recording]:
    """Yield the lines of a table, except those of `skipped` clips. Their clips are added to `used`."""
    for line, row in read_columns(table, _REQUIRED):
        if row is None or not row["path"] or os.path.basename(row["path"]) != row["path"]:
            yield line.dropped(line.fault or "broken line: the header has other columns, or the clip has no name")
        elif row["path"] not in skipped:
            used.add(row["path"])
            yield _recording(line, row, split)


def _recording(line: Line, row: dict[str, str], split: str) -> Recording:
    folder = line.table.parent
    name = row["path"] if row["path"].lower().endswith(AUDIO_SUFFIXES) else f"{row['path']}.mp3"
    return Recording(
        id=name_stem(name),
        speaker=row["client_id"],
        audio=folder / AUDIO / name,
        text=row["sentence"],
        gender=row.get("gender") or None,
        language=row.get("locale") or folder.name,
        split=split,
        accent=row.get("accents") or row.get("accent") or None,
        listed_in=line.table,
        line=line.number,
    )


def _unlisted(folder: Path, used: set[str]) -> Iterator[Recording]:
    listed = {name_stem(name) for name in used}
    for table in _OTHER_TABLES:
        if (folder / table).is_file():
            listed |= {name_stem(fields[1]) for _, fields in read_fields(folder / table) if len(fields) > 1}
    with os.scandir(folder / AUDIO) as entries:
        names = sorted(entry.name for entry in entries if entry.name.lower().endswith(AUDIO_SUFFIXES))
    for name in names:
        if name_stem(name) not in listed:
            fault = "no transcript: in no table of its language"
            yield Recording(name_stem(name), "", folder / AUDIO / name, language=folder.name, fault=fault)
