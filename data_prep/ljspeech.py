"""Reader of LJ Speech (Ito and Johnson 2017): `metadata.csv` with lines `ID|TEXT|NORMALISED TEXT`, and `wavs/ID.wav`.

The fields have no quotes. The text is the normalised text or, if it is empty, the other. The only speaker is `LJ`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep.files import by_preference, files_below, relative_id, subfolder_with
from data_prep.recording import Recording
from data_prep.tables import read_lines, wrong_width
from tts_meta.corpus import AUDIO_SUFFIXES

TABLE, AUDIO = "metadata.csv", "wavs"
SPEAKER = "LJ"


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every line of the table, and every recording that is not in it."""
    corpus_dir = subfolder_with(corpus_dir, TABLE)
    table, used = corpus_dir / TABLE, set[str]()
    for line in read_lines(table) if table.is_file() else ():
        fields = [field.strip() for field in line.text.split("|")]
        if line.fault or len(fields) not in (2, 3) or not fields[0] or "/" in fields[0]:
            yield wrong_width(line, "ID|TEXT|NORMALISED TEXT")
            continue
        name, text, normalised = (*fields, "")[:3]
        used.add(name)
        yield Recording(
            id=name,
            speaker=SPEAKER,
            audio=corpus_dir / AUDIO / f"{name}.wav",
            text=normalised or text,
            gender="F",
            language="en",
            listed_in=table,
            line=line.number,
        )
    folder = corpus_dir / AUDIO
    for path in by_preference(files_below(folder)) if folder.is_dir() else ():
        name = relative_id(path, folder)
        if path.suffix.lower() in AUDIO_SUFFIXES and (name not in used or path.suffix != ".wav"):
            yield Recording(path.name, SPEAKER, path, fault=f"no transcript: not in {TABLE}")


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout and the ids of LJ Speech."""
    return (corpus_dir / AUDIO / "LJ001-0001.wav").is_file() and (corpus_dir / TABLE).is_file()
