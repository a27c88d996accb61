"""Reader of LibriTTS (Zen et al. 2019) and LibriTTS-R: `[SUBSET/]SPEAKER/CHAPTER/SPEAKER_CHAPTER_....wav`.

The text of a recording is in the file with the same name and the suffix `.normalized.txt`. If this file is missing or
empty, the text is the third field of its line in `SPEAKER_CHAPTER.trans.tsv`, or else in `.original.txt`. The subset,
such as `train-clean-100`, is the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep.files import by_preference, files_below, first_of_stem, read_transcript
from data_prep.librispeech import ListedText, recording
from data_prep.recording import Recording
from data_prep.speaker_tables import librivox_genders
from data_prep.tables import Line, read_lines, wrong_width
from tts_meta.corpus import AUDIO_SUFFIXES

NORMALISED, ORIGINAL, TABLE = ".normalized.txt", ".original.txt", ".trans.tsv"


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every recording and every transcript, including those without a counterpart, with the speaker's gender."""
    files = files_below(corpus_dir)
    genders = librivox_genders(corpus_dir)
    audio_of = first_of_stem(by_preference(path for path in files if path.suffix.lower() in AUDIO_SUFFIXES))
    files_of: dict[Path, list[Path]] = {}
    for suffix in (NORMALISED, ORIGINAL):
        for path in files:
            if path.name.endswith(suffix):
                files_of.setdefault(path.with_name(path.name.removesuffix(suffix)), []).append(path)
    listed: dict[Path, ListedText] = {}
    for table in files:
        if table.name.endswith(TABLE):
            yield from _read_table(table, listed)
    for stem in sorted(audio_of.keys() | files_of.keys() | listed.keys()):
        text = _text(files_of.get(stem, []), listed.get(stem))
        yield recording(stem, audio_of.get(stem), text, genders, corpus_dir)


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of LibriTTS."""
    return next(corpus_dir.rglob(f"*{NORMALISED}"), None) is not None


def _read_table(table: Path, listed: dict[Path, ListedText]) -> Iterator[Recording]:
    """Add the lines `ID<tab>ORIGINAL<tab>NORMALISED` of a table to `listed`, and yield those that are faulty."""
    for line in read_lines(table):
        fields = [field.strip() for field in line.text.split("\t")]
        stem = table.parent / fields[0]
        if line.fault or len(fields) != 3 or not fields[0] or "/" in fields[0]:
            yield wrong_width(line, "ID<tab>ORIGINAL<tab>NORMALISED")
        elif stem in listed:
            yield line.dropped(f"duplicate id {fields[0]}, first seen in line {listed[stem].number}", fields[0])
        else:
            listed[stem] = ListedText(fields[2] or fields[1], line)


def _text(paths: list[Path], listed: ListedText | None) -> ListedText:
    """Return the first text that is not empty, of the normalised text, the table and the original text."""
    line = listed.line if listed else None
    text, fault = "", f"no transcript: no file {NORMALISED} with its name"
    for suffix in (NORMALISED, ORIGINAL):
        for path in [path for path in paths if path.name.endswith(suffix)]:
            text, fault = read_transcript(path)
            line = Line(path, 1, text)
        if text.strip():
            return ListedText(text, line)
        if listed is not None and listed.text:
            return listed
    return ListedText(text, line, fault)
