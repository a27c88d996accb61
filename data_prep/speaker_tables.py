"""Readers of the speaker tables of published corpora, for the gender of each speaker."""

from __future__ import annotations

from pathlib import Path

from tts_meta.corpus.text_file import read_text_file, split_lines

_GENDERS = ("F", "M")


def librivox_genders(corpus_dir: Path) -> dict[str, str]:
    """Return the gender of each speaker from the table of LibriSpeech or LibriTTS.

    The table is in the corpus folder or in its parent. `SPEAKERS.TXT` has lines `14 | F | train-clean-360 | 25.03 |
    Name`; `speakers.tsv` has the same columns with tabs. The result is empty if there is no table.
    """
    for folder in (corpus_dir, corpus_dir.parent):
        for name, separator in (("speakers.tsv", "\t"), ("SPEAKERS.TXT", "|"), ("SPEAKERS.txt", "|")):
            if (folder / name).is_file():
                return _genders(folder / name, separator, column=1)
    return {}


def vctk_genders(corpus_dir: Path) -> dict[str, str]:
    """Return the gender of each speaker from `speaker-info.txt` of VCTK.

    The columns are `ID AGE GENDER ...`. Ids may or may not begin with `p`.
    """
    table = corpus_dir / "speaker-info.txt"
    genders = _genders(table, None, column=2) if table.is_file() else {}
    return {f"p{speaker}" if speaker.isdecimal() else speaker: gender for speaker, gender in genders.items()}


def _genders(table: Path, separator: str | None, column: int) -> dict[str, str]:
    rows = ([field.strip() for field in line.split(separator)] for line in split_lines(read_text_file(table)))
    return {row[0]: row[column] for row in rows if len(row) > column and row[column] in _GENDERS}
