"""`cut_words`: cut a transcript with times into slices, each about one sentence, at pauses of the speech.

The cuts have the lowest total cost of all possible cuts (dynamic programming). Cuts at ends of sentences and at long
pauses are cheap. Slices that are very short or long, or have long pauses inside, are expensive.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tts_meta.asr.voice_activity import Interval
from tts_meta.asr.words import Word

MIN_CUT_PAUSE = 0.16
"""Shortest pause at which a recording is cut, seconds."""
MAX_SLICE_SECONDS = 30.0
"""Longest slice, seconds. A longer one is a fault, because there is no pause to cut it at."""
PAD = 0.15
"""Seconds before and after the speech of a slice, at most half of the pause there."""

_SHORT, _LONG, _VERY_LONG = 2.5, 12.0, 20.0  # Seconds of a slice.
_SHORT_COST, _LONG_COST, _VERY_LONG_COST = 2.0, 0.4, 4.0  # For each second below or above.
_COMMA_COST, _INNER_COST = 1.0, 2.5  # For a cut after a comma, or within a clause.
_UNKNOWN_COST = 0.5  # For a cut in a text without punctuation.
_PAUSE_GAIN, _MAX_GAIN_PAUSE = 1.0, 1.0  # For each second of pause at a cut, up to a limit in seconds.
_LONG_PAUSE, _LONG_PAUSE_COST = 1.0, 3.0  # For each second by which a pause inside a slice is longer.
_SLICE_COST = 0.2

_SENTENCE_ENDS, _CLAUSE_ENDS = ".!?…。！？", ",;:—–、，；："
_CLOSING = "\"'”’»)]"


@dataclass(frozen=True, slots=True)
class WordGroup:
    """Successive words of a slice, and the interval of the recording that they are cut from, in seconds."""

    words: tuple[Word, ...]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place where words can be cut. word: number of the word after it. end, start: of the speech around it."""

    word: int
    end: float
    start: float

    @property
    def pad(self) -> float:
        return min(PAD, (self.start - self.end) / 2)


def cut_words(words: Sequence[Word], speech: Sequence[Interval], duration: float) -> list[WordGroup]:
    """Cut words into groups at pauses.

    words: in order of time. speech: intervals of speech of the recording, in order. duration: of the recording,
    seconds. Every word is in one group.
    """
    if not words:
        return []
    begin, finish = _outer_ends(words, speech, duration)
    pauses = enumerate(_pauses_between(words, speech), 1)
    inner = [_Mark(number, *pause) for number, pause in pauses if pause is not None]
    marks = [_Mark(0, begin - 2 * PAD, begin), *inner, _Mark(len(words), finish, finish + 2 * PAD)]
    return [
        WordGroup(
            tuple(words[first.word : last.word]),
            round(max(0.0, first.start - first.pad), 3),
            round(min(duration, last.end + last.pad), 3),
        )
        for first, last in pairwise(_cheapest_cuts(words, marks))
    ]


def _cheapest_cuts(words: Sequence[Word], marks: Sequence[_Mark]) -> list[_Mark]:
    """Return the marks with the lowest total cost, including the first and the last one."""
    best, previous, has_sentences = [0.0], [0], any(_ends_sentence(word) for word in words[:-1])
    for last in range(1, len(marks)):
        cost, chosen, first, inner = math.inf, last - 1, last, 0.0
        while first > 0:
            first -= 1
            seconds = marks[last].end - marks[first].start
            if seconds > MAX_SLICE_SECONDS and first < last - 1:
                break
            total = best[first] + _slice_cost(seconds) + inner
            if total < cost:
                cost, chosen = total, first
            inner += _LONG_PAUSE_COST * max(0.0, marks[first].start - marks[first].end - _LONG_PAUSE)
        mark = marks[last]
        if mark.word < len(words):
            cost += _cut_cost(words[mark.word - 1], mark.start - mark.end, has_sentences)
        best.append(cost)
        previous.append(chosen)
    path = [len(marks) - 1]
    while path[-1] > 0:
        path.append(previous[path[-1]])
    return [marks[number] for number in reversed(path)]


def _pauses_between(words: Sequence[Word], speech: Sequence[Interval]) -> list[Interval | None]:
    """Return for each word but the last the longest pause up to the next word, or None if it is too short to cut at.

    A pause lies between the middles of the two words, because the times of words are less exact than those of pauses.
    """
    gaps = [(end, start) for (_, end), (start, _) in pairwise(speech)]
    gap_ends = [end for _, end in gaps]
    pauses = list[Interval | None]()
    for first, second in pairwise(words):
        longest: Interval = (0.0, MIN_CUT_PAUSE)
        is_found, anchored = False, first.is_anchored and second.is_anchored
        for number in range(bisect_right(gap_ends, first.middle), len(gaps) if anchored else 0):
            if gaps[number][0] >= second.middle:
                break
            pause = max(gaps[number][0], first.middle), min(gaps[number][1], second.middle)
            if pause[1] - pause[0] >= longest[1] - longest[0]:
                longest, is_found = pause, True
        pauses.append(longest if is_found else None)
    return pauses


def _outer_ends(words: Sequence[Word], speech: Sequence[Interval], duration: float) -> Interval:
    """Return the start of the speech of the first word, and the end of the speech of the last word."""
    start = next((start for start, end in speech if end > words[0].middle), words[0].start)
    end = next((end for start, end in reversed(speech) if start < words[-1].middle), words[-1].end)
    return max(0.0, min(start, words[0].middle)), min(duration, max(end, words[-1].middle))


def _slice_cost(seconds: float) -> float:
    """Return the cost of the duration of a slice."""
    cost = _SLICE_COST + _SHORT_COST * max(0.0, _SHORT - seconds) + _LONG_COST * max(0.0, seconds - _LONG)
    return cost + _VERY_LONG_COST * max(0.0, seconds - _VERY_LONG)


def _cut_cost(word: Word, pause: float, has_sentences: bool) -> float:
    """Return the cost of a cut after a word. has_sentences: whether the text has ends of sentences."""
    cost = _INNER_COST if has_sentences else _UNKNOWN_COST
    if _ends_sentence(word):
        cost = 0.0
    elif word.text.rstrip().rstrip(_CLOSING).endswith(tuple(_CLAUSE_ENDS)):
        cost = min(cost, _COMMA_COST)
    return cost - _PAUSE_GAIN * min(pause, _MAX_GAIN_PAUSE)


def _ends_sentence(word: Word) -> bool:
    return word.text.rstrip().rstrip(_CLOSING).endswith(tuple(_SENTENCE_ENDS))
