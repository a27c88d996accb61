"""Reader of LibriSpeech (Panayotov et al. 2015): `[SUBSET/]SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac`.

The texts of a chapter are lines `ID TEXT` of the file `SPEAKER-CHAPTER.trans.txt` in the chapter's folder. The texts
are in capitals and without punctuation. The subset, such as `train-clean-100`, is the split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.files import by_preference, files_below, first_of_stem
from data_prep.recording import Recording
from data_prep.speaker_tables import librivox_genders
from data_prep.tables import Line, read_lines, wrong_width
from tts_meta.corpus import AUDIO_SUFFIXES

TEXTS = ".trans.txt"
_PRONOUN = re.compile(r"(?<![\w'])i(?=$|[^\w']|'(?:m|ll|ve|d|s)\b)")
_ID = re.compile(r"[\w-]+")
_SUBSET = re.compile(r"(?:train|dev|test)-\w.*")


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every recording and every transcript, including those without a counterpart, with the speaker's gender."""
    files = files_below(corpus_dir)
    genders = librivox_genders(corpus_dir)
    audio_of = first_of_stem(by_preference(path for path in files if path.suffix.lower() in AUDIO_SUFFIXES))
    texts: dict[Path, ListedText] = {}
    faults: dict[Path, str] = {}
    for table in files:
        if table.name.endswith(TEXTS):
            faults.setdefault(table.parent, f"no transcript: not in {table.name}")
            for line in read_lines(table):
                name, *text = line.text.split(maxsplit=1)
                stem = table.parent / name
                if not _ID.fullmatch(name):
                    yield wrong_width(line, "ID TEXT")
                elif stem in texts:
                    yield line.dropped(f"duplicate id {name}, first seen in line {texts[stem].number}", name)
                else:
                    fault = line.fault and f"unreadable transcript: {table.name}: {line.fault}"
                    texts[stem] = ListedText(sentence_case("".join(text)), line, fault)
    for stem in sorted(audio_of.keys() | texts.keys()):
        listed = texts.get(stem)
        if listed is None:
            listed = ListedText("", None, faults.get(stem.parent, f"no transcript: no {TEXTS} in its folder"))
        yield recording(stem, audio_of.get(stem), listed, genders, corpus_dir)


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of LibriSpeech."""
    return next(corpus_dir.rglob(f"*{TEXTS}"), None) is not None


@dataclass(frozen=True, slots=True)
class ListedText:
    """A text with the line that has it, if any, or with the fault of the text."""

    text: str
    line: Line | None = None
    fault: str | None = None

    @property
    def number(self) -> int | None:
        """The number of the line."""
        return self.line and self.line.number


def recording(
    stem: Path, audio: Path | None, listed: ListedText, genders: dict[str, str], corpus_dir: Path
) -> Recording:
    """Return the recording of an id such as `84-121-0000` or `84_121_000003_000001`, which begins with the speaker."""
    speaker = re.split("[-_]", stem.name)[0]
    folders = stem.relative_to(corpus_dir).parts[:-1]
    split = next((name for name in folders if _SUBSET.fullmatch(name)), None)
    return Recording(
        *(stem.name, speaker, audio, listed.text),
        gender=genders.get(speaker),
        language="en",
        split=split,
        fault=listed.fault,
        listed_in=listed.line and listed.line.table,
        line=listed.number,
    )


def sentence_case(text: str) -> str:
    """Return upper-case text in lower case, except the pronoun I (also in I'm, I'll, I've, I'd)."""
    return _PRONOUN.sub("I", text.lower())
