"""`read_lines`: what the lines of a manifest state, as arrays, so that a million lines need little memory."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tts_meta.corpus import Utterance
from tts_meta.corpus.manifest import checked, read_utterances
from tts_meta.report.corpus.text_marks import scripts_of, text_marks, weighted_letters

ATTRIBUTES = ("gender", "accent", "language", "split")
_MIN_SCRIPT_FRACTION, _MIN_SCRIPT_LINES = 0.02, 3
"""A script of fewer lines of a language than both limits is rare."""


@dataclass
class SpeakerLines:
    """Lines of one speaker: utterances, seconds, and utterances by value of each attribute ("" for no value)."""

    utterances: int = 0
    seconds: float = 0.0
    attributes: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in ATTRIBUTES})


@dataclass(frozen=True)
class CorpusLines:
    """All lines of a manifest, L in number.

    speakers: by name, in the order of the manifest. speaker: number of the speaker of each line `(L,)`. seconds,
    words, characters, letters: of each line `(L,)`; `letters` counts a digit as four letters. text: hash of each text
    `(L,)`. order: a random number of each line `(L,)` that depends on the seed and the id. seconds_of: seconds by
    attribute and value. marks: what is unusual in the text of a line, by the number of the line.
    """

    speakers: dict[str, SpeakerLines]
    speaker: NDArray[np.int64]
    seconds: NDArray[np.float64]
    words: NDArray[np.int64]
    characters: NDArray[np.int64]
    letters: NDArray[np.int64]
    text: NDArray[np.uint64]
    order: NDArray[np.uint64]
    seconds_of: Mapping[str, Mapping[str, float]]
    marks: dict[int, str]

    def __len__(self) -> int:
        return len(self.seconds)


def read_lines(manifest: Path, seed: int) -> CorpusLines:
    """Read a manifest once. Raises as `Manifest.load`."""
    speakers = dict[str, SpeakerLines]()
    numbers = dict[str, int]()
    seconds_of = {name: defaultdict[str, float](float) for name in ATTRIBUTES}
    columns = {name: array("q") for name in ("speaker", "words", "characters", "letters")}
    seconds, text, order = array("d"), array("Q"), array("Q")
    marks, scripts = dict[int, str](), _Scripts()
    for line, utterance in enumerate(checked(read_utterances(manifest), manifest)):
        speaker = speakers.setdefault(utterance.speaker, SpeakerLines())
        speaker.utterances += 1
        speaker.seconds += utterance.seconds
        for name in ATTRIBUTES:
            value = getattr(utterance, name) or ""
            speaker.attributes[name][value] += 1
            seconds_of[name][value] += utterance.seconds
        columns["speaker"].append(numbers.setdefault(utterance.speaker, len(numbers)))
        columns["words"].append(len(utterance.text.split()))
        columns["characters"].append(len(utterance.text))
        columns["letters"].append(weighted_letters(utterance.text))
        seconds.append(utterance.seconds)
        text.append(_hash(" ".join(utterance.text.lower().split())))
        order.append(_hash(f"{seed}/{utterance.id}"))
        if mark := text_marks(utterance.text):
            marks[line] = mark
        scripts.add(line, utterance)
    marks = scripts.rare() | marks
    arrays = {name: np.frombuffer(column, np.int64) for name, column in columns.items()}
    return CorpusLines(
        speakers,
        seconds=np.frombuffer(seconds, np.float64),
        text=np.frombuffer(text, np.uint64),
        order=np.frombuffer(order, np.uint64),
        seconds_of=seconds_of,
        marks=marks,
        **arrays,
    )


def choose_sample(lines: CorpusLines, count: int) -> NDArray[np.int64]:
    """Return the numbers of at most `count` lines, in ascending order, spread evenly over the speakers.

    First one line of each speaker is drawn, then a second one of each, and so on. The draw depends on the seed and the
    ids only, not on the order of the manifest.
    """
    by_speaker = np.lexsort((lines.order, lines.speaker))
    speaker = lines.speaker[by_speaker]
    starts = np.flatnonzero(np.concatenate([[True], speaker[1:] != speaker[:-1]]))
    rank = np.arange(len(lines)) - np.repeat(starts, np.diff(starts, append=len(lines)))
    drawn = np.lexsort((lines.order[by_speaker], rank))[:count]
    return np.sort(by_speaker[drawn])


def utterances_at(manifest: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Utterance]]:
    """Yield the lines of these numbers, from 0, in the order of the manifest."""
    wanted = set(numbers)
    for number, utterance in enumerate(read_utterances(manifest)):
        if number in wanted:
            yield number, utterance


class _Scripts:
    """Which scripts the lines of each language use."""

    def __init__(self) -> None:
        self._lines, self._counts = Counter[str](), Counter[tuple[str, str]]()
        self._first = dict[tuple[str, str], list[int]]()

    def add(self, line: int, utterance: Utterance) -> None:
        language = utterance.language or ""
        self._lines[language] += 1
        for script in scripts_of(utterance.text):
            key = (language, script)
            self._counts[key] += 1
            first = self._first.setdefault(key, [])
            # A script that is rare at the end has few lines at any time, except near the limit.
            if len(first) <= max(_MIN_SCRIPT_LINES, _MIN_SCRIPT_FRACTION * self._lines[language]):
                first.append(line)

    def rare(self) -> dict[int, str]:
        """Return a message for each line with letters of a rare script of its language."""
        messages = dict[int, str]()
        for (language, script), count in self._counts.items():
            total = self._lines[language]
            if total > 2 * _MIN_SCRIPT_LINES and count < max(_MIN_SCRIPT_LINES, _MIN_SCRIPT_FRACTION * total):
                rest = "of these texts" if not language else f"of the texts in {language}"
                message = f"{script.capitalize()} letters, which only {count} {rest} have"
                messages |= dict.fromkeys(self._first[language, script], message)
        return messages


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
