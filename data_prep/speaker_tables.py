"""Tables of speakers that corpora publish: who is female and who is male."""

from __future__ import annotations

from pathlib import Path

from tts_meta.corpus.text_file import read_text_file, split_lines

_GENDERS = ("F", "M")


def librivox_genders(corpus_dir: Path) -> dict[str, str]:
    """Gender by speaker from the table of LibriSpeech or LibriTTS, in the corpus's folder or the one above it.

    `SPEAKERS.TXT` has lines `14 | F | train-clean-360 | 25.03 | Name`, `speakers.tsv` the same columns with tabs. Empty
    where no table is there.
    """
    for folder in (corpus_dir, corpus_dir.parent):
        for name, separator in (("speakers.tsv", "\t"), ("SPEAKERS.TXT", "|"), ("SPEAKERS.txt", "|")):
            if (folder / name).is_file():
                return _genders(folder / name, separator, place=1)
    return {}


def vctk_genders(corpus_dir: Path) -> dict[str, str]:
    """Gender by speaker from `speaker-info.txt` of VCTK: columns `ID AGE GENDER ...`, ids with or without `p`."""
    table = corpus_dir / "speaker-info.txt"
    found = _genders(table, None, place=2) if table.is_file() else {}
    return {f"p{speaker}" if speaker.isdecimal() else speaker: gender for speaker, gender in found.items()}


def _genders(table: Path, separator: str | None, place: int) -> dict[str, str]:
    rows = ([field.strip() for field in line.split(separator)] for line in split_lines(read_text_file(table)))
    return {row[0]: row[place] for row in rows if len(row) > place and row[place] in _GENDERS}
