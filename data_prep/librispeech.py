"""Reader of LibriSpeech (Panayotov et al. 2015): `[SUBSET/]SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac`.

The texts of a chapter are lines `ID TEXT` of the file `SPEAKER-CHAPTER.trans.txt` in the chapter's folder. The texts
are in capitals and without punctuation. The subset, such as `train-clean-100`, is the split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.files import by_preference, files_below, first_of_stem
from data_prep.recording import Recording
from data_prep.speaker_tables import librivox_genders
from tts_meta.corpus import AUDIO_SUFFIXES
from tts_meta.corpus.text_file import printable_path, read_text_file, split_lines
from tts_meta.errors import TtsMetaError

TEXTS = ".trans.txt"
_PRONOUN = re.compile(r"(?<![\w'])i(?=$|[^\w']|'(?:m|ll|ve|d|s)\b)")
_SUBSET = re.compile(r"(?:train|dev|test)-\w.*")


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every recording and every transcript, including those without a counterpart, with the speaker's gender."""
    files = files_below(corpus_dir)
    genders = librivox_genders(corpus_dir)
    audio_of = first_of_stem(by_preference(path for path in files if path.suffix.lower() in AUDIO_SUFFIXES))
    texts: dict[Path, str] = {}
    faults: dict[Path, str] = {}
    for table in files:
        if table.name.endswith(TEXTS):
            faults.setdefault(table.parent, f"no transcript: not in {table.name}")
            try:
                texts.update(_texts(table))
            except TtsMetaError as error:
                reason = str(error).removeprefix(f"{printable_path(table)}: ")
                faults[table.parent] = f"unreadable transcript: {table.name}: {reason}"
    for stem in sorted(audio_of.keys() | texts.keys()):
        fault = None if stem in texts else faults.get(stem.parent, f"no transcript: no {TEXTS} in its folder")
        yield recording(stem, audio_of.get(stem), texts.get(stem, ""), fault, genders, corpus_dir)


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of LibriSpeech."""
    return next(corpus_dir.rglob(f"*{TEXTS}"), None) is not None


def recording(
    stem: Path, audio: Path | None, text: str, fault: str | None, genders: dict[str, str], corpus_dir: Path
) -> Recording:
    """Return the recording of an id such as `84-121-0000` or `84_121_000003_000001`, which begins with the speaker."""
    speaker = re.split("[-_]", stem.name)[0]
    folders = stem.relative_to(corpus_dir).parts[:-1]
    split = next((name for name in folders if _SUBSET.fullmatch(name)), None)
    return Recording(
        stem.name, speaker, audio, text, gender=genders.get(speaker), language="en", split=split, fault=fault
    )


def sentence_case(text: str) -> str:
    """Return upper-case text in lower case, except the pronoun I (also in I'm, I'll, I've, I'd)."""
    return _PRONOUN.sub("I", text.lower())


def _texts(table: Path) -> dict[Path, str]:
    rows = [line.split(maxsplit=1) for line in split_lines(read_text_file(table)) if line.strip()]
    return {table.parent / row[0]: sentence_case("".join(row[1:])) for row in rows if "/" not in row[0]}
