"""`place_text`: give the words of a known text the times of the words that speech recognition found.

The two sequences are compared word by word. Words that both have get the times of the recogniser. Times of the other
words are estimates between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from tts_meta.asr.words import Word

MIN_AGREEMENT = 0.6
"""Lowest agreement of a slice: twice the number of equal words, divided by the words of both sequences."""
_TOKEN = re.compile(r"\S+")
_NOT_COMPARED = re.compile(r"[^\w]|_")


def place_text(text: str, recognised: Sequence[Word]) -> list[Word]:
    """Return the words of a text with times; none if no word of the text was recognised.

    The probability is 1 for words that were recognised, else 0.
    """
    tokens = _TOKEN.findall(text)
    known, compared = [_compared(token) for token in tokens], [_compared(word.text) for word in recognised]
    matcher = SequenceMatcher(None, known, compared, autojunk=False)
    source: dict[int, Word] = {}
    for block in matcher.get_matching_blocks():
        for number in range(block.size):
            if known[block.a + number]:
                source[block.a + number] = recognised[block.b + number]
    if not source:
        return []
    words, position, before = list[Word](), 0, recognised[0].start
    for number in sorted(source):
        word = source[number]
        words += _spread(tokens[position:number], before, word.start, word.segment)
        words.append(Word(f" {tokens[number]}", word.start, word.end, 1.0, word.segment))
        position, before = number + 1, word.end
    return words + _spread(tokens[position:], before, recognised[-1].end, recognised[-1].segment)


def agreement(words: Sequence[Word], recognised: Sequence[Word]) -> float:
    """Return the agreement, 0 to 1, of the words of a slice with those recognised in the same interval."""
    equal = sum(word.probability > 0 for word in words)
    return 2 * equal / max(1, len(words) + len(recognised))


def _spread(tokens: Sequence[str], start: float, end: float, segment: int) -> list[Word]:
    """Return words of equal durations from `start` to `end`, in seconds."""
    step = max(0.0, end - start) / max(1, len(tokens))
    times = [(start + number * step, start + (number + 1) * step) for number in range(len(tokens))]
    return [Word(f" {token}", *time, 0.0, segment, False) for token, time in zip(tokens, times, strict=True)]


def _compared(token: str) -> str:
    return _NOT_COMPARED.sub("", token.casefold())
