"""Reader of CMU ARCTIC (Kominek and Black 2004): a folder `cmu_us_SPEAKER_arctic` for each speaker.

The texts are lines `( arctic_a0001 "TEXT" )` of `etc/txt.done.data`, and the recordings are `wav/arctic_a0001.wav`.
Some speakers have recordings without a line. Genders and accents are those of the corpus's web page, which has them
for seven speakers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.recording import Recording
from data_prep.tables import read_lines

TABLE, AUDIO = "etc/txt.done.data", "wav"
_FOLDER = re.compile(r"cmu_us_(?P<speaker>\w+?)_arctic")
_LINE = re.compile(r"""\(\s*(?P<id>[^\s"/]+)\s+"(?P<text>.*)"\s*\)""")
_SPEAKERS = {
    "awb": ("M", "Scottish"),
    "bdl": ("M", "US"),
    "clb": ("F", "US"),
    "jmk": ("M", "Canadian"),
    "ksp": ("M", "Indian"),
    "rms": ("M", "US"),
    "slt": ("F", "US"),
}
"""Gender and accent."""


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every line of the tables, and every recording that is not in the table of its speaker."""
    for folder in _speaker_folders(corpus_dir):
        match = _FOLDER.match(folder.name)
        speaker = match["speaker"] if match else folder.name
        yield from _read_speaker(folder, speaker)


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of CMU ARCTIC."""
    return any(_FOLDER.match(folder.name) for folder in _speaker_folders(corpus_dir))


def _speaker_folders(corpus_dir: Path) -> list[Path]:
    """Return the folders of the speakers: the corpus folder itself, or folders in it or in a folder in it."""
    tables = [table for depth in ("", "*/", "*/*/") for table in sorted(corpus_dir.glob(f"{depth}{TABLE}"))]
    return [table.parent.parent for table in tables]


def _read_speaker(folder: Path, speaker: str) -> Iterator[Recording]:
    gender, accent = _SPEAKERS.get(speaker, (None, None))
    table, used = folder / TABLE, set[str]()
    for line in read_lines(table):
        match = _LINE.fullmatch(line.text.strip())
        if match is None:
            yield line.dropped(line.fault or 'broken line: not in the form ( ID "TEXT" )', speaker=speaker)
            continue
        name = match["id"]
        used.add(name)
        yield Recording(
            id=f"{speaker}_{name}",
            speaker=speaker,
            audio=folder / AUDIO / f"{name}.wav",
            text=match["text"].replace('\\"', '"'),
            gender=gender,
            language="en",
            fault=line.fault,
            accent=accent,
            listed_in=table,
            line=line.number,
        )
    for path in sorted((folder / AUDIO).glob("*.wav")):
        if path.stem not in used:
            yield Recording(f"{speaker}_{path.stem}", speaker, path, fault=f"no transcript: not in {TABLE}")
