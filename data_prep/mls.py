"""Reader of Multilingual LibriSpeech (Pratap et al. 2020): a folder such as `mls_german` for each language.

`{train,dev,test}/transcripts.txt` has lines `SPEAKER_BOOK_NUMBER<tab>TEXT`, in lower case and without punctuation. The
recording is `audio/SPEAKER/BOOK/SPEAKER_BOOK_NUMBER.flac`, or `.opus` in the smaller archive. `metainfo.txt` has the
gender of each speaker. `segments.txt` is not read, because its times refer to the recordings of LibriVox, not to the
files of the corpus.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.files import files_below
from data_prep.recording import Recording
from data_prep.tables import read_fields, read_lines, wrong_width
from tts_meta.corpus import AUDIO_SUFFIXES

SPLITS, TEXTS, SPEAKERS, AUDIO = ("train", "dev", "test"), "transcripts.txt", "metainfo.txt", "audio"
_ID = re.compile(r"(?P<speaker>\d+)_(?P<book>\d+)_\d+")
_LANGUAGES = {
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "polish": "pl",
    "portuguese": "pt",
    "spanish": "es",
}


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every line of the transcripts, and every recording without a line, of one language or of several."""
    for folder in _language_folders(corpus_dir):
        name = folder.name.removeprefix("mls_").removesuffix("_opus")
        genders = _genders(folder / SPEAKERS)
        for split in SPLITS:
            if (folder / split / TEXTS).is_file():
                yield from _read_split(folder / split, genders, _LANGUAGES.get(name))


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of Multilingual LibriSpeech."""
    return any((folder / split / TEXTS).is_file() for folder in _language_folders(corpus_dir) for split in SPLITS)


def _language_folders(corpus_dir: Path) -> list[Path]:
    if (corpus_dir / SPEAKERS).is_file():
        return [corpus_dir]
    return sorted(path.parent for path in corpus_dir.glob(f"*/{SPEAKERS}"))


def _genders(table: Path) -> dict[str, str]:
    """Return the gender of each speaker from lines `SPEAKER | GENDER | PARTITION | MINUTES | BOOK ID | ...`."""
    rows = (fields for _, fields in read_fields(table, "|") if len(fields) > 1)
    return {fields[0]: fields[1] for fields in rows if fields[1] in ("F", "M")}


def _read_split(folder: Path, genders: dict[str, str], language: str | None) -> Iterator[Recording]:
    table, used = folder / TEXTS, set[str]()
    for line in read_lines(table):
        name, _, text = line.text.partition("\t")
        match = _ID.fullmatch(name.strip())
        if match is None or line.fault:
            yield wrong_width(line, "SPEAKER_BOOK_NUMBER<tab>TEXT")
            continue
        name, speaker = match[0], match["speaker"]
        used.add(name)
        stem = folder / AUDIO / speaker / match["book"] / name
        flac, opus = stem.with_suffix(".flac"), stem.with_suffix(".opus")
        yield Recording(
            id=name,
            speaker=speaker,
            audio=opus if os.path.isfile(opus) and not os.path.isfile(flac) else flac,
            text=text,
            gender=genders.get(speaker),
            language=language,
            split=folder.name,
            listed_in=table,
            line=line.number,
        )
    audio = folder / AUDIO
    for path in files_below(audio) if audio.is_dir() else ():
        if path.suffix.lower() in AUDIO_SUFFIXES and path.stem not in used:
            fault = f"no transcript: not in {folder.name}/{TEXTS}"
            yield Recording(path.stem, path.stem.split("_")[0], path, language=language, split=folder.name, fault=fault)
