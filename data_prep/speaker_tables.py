"""Readers of the speaker tables of published corpora, for the gender and the accent of each speaker."""

from __future__ import annotations

from pathlib import Path

from data_prep.tables import read_fields

_ARCHIVE_FOLDERS = ("LibriSpeech", "LibriTTS", "LibriTTS_R")
_GENDERS = ("F", "M")


def librivox_genders(corpus_dir: Path) -> dict[str, str]:
    """Return the gender of each speaker from the table of LibriSpeech or LibriTTS.

    The table is in the corpus folder, in its parent, or in the folder that an archive contains. `SPEAKERS.TXT` has
    lines `14 | F | train-clean-360 | 25.03 | Name`; `speakers.tsv` has the same columns with tabs. The result is empty
    if there is no table.
    """
    for folder in (corpus_dir, corpus_dir.parent, *(corpus_dir / name for name in _ARCHIVE_FOLDERS)):
        for name, separator in (("speakers.tsv", "\t"), ("SPEAKERS.TXT", "|"), ("SPEAKERS.txt", "|")):
            if (folder / name).is_file():
                return _genders(folder / name, separator, column=1)
    return {}


def vctk_speakers(corpus_dir: Path) -> dict[str, tuple[str, str | None]]:
    """Return the gender and the accent of each speaker from `speaker-info.txt` of VCTK.

    The columns are `ID AGE GENDER ACCENTS REGION COMMENTS`, separated by spaces. Ids may or may not begin with `p`.
    """
    table = corpus_dir / "speaker-info.txt"
    speakers = {}
    for _, (name, *fields) in read_fields(table, None) if table.is_file() else ():
        if len(fields) > 1 and fields[1] in _GENDERS:
            accent = fields[2] if len(fields) > 2 and fields[2] != "Unknown" else None
            speakers[f"p{name}" if name.isdecimal() else name] = fields[1], accent
    return speakers


def _genders(table: Path, separator: str | None, column: int) -> dict[str, str]:
    rows = (fields for _, fields in read_fields(table, separator) if len(fields) > column)
    return {fields[0]: fields[column] for fields in rows if fields[column] in _GENDERS}
