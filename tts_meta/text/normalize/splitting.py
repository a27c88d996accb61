"""Bounded pieces: long words and long sentences cut at good places, in time in proportion to their length."""

from __future__ import annotations

import re

MAX_CHARACTERS = 320
"""Longest piece of a sentence that is spoken at once, in characters of normalized text."""
_LONGEST_WORD, _MOST_HYPHENS, _MOST_PIECES, _EARLIEST = 24, 3, 10, 0.4
_TOKEN = re.compile(r"\S+")
_LETTERS = re.compile(rf"[^\W\d_]{{{_LONGEST_WORD + 1},}}")
_PART = re.compile(r"[A-ZÀ-Þ]+(?![a-zß-ÿ])|[A-ZÀ-Þ]?[a-zß-ÿ]+|[^\W\d_]|\d+|\S")
_PLACES = (
    re.compile(r"(?<=[.!?;:…—])[\"'”)]* (?=\S)|(?<=\S)(?= — )"),
    re.compile(r"(?<=[,)])[\"'”)]* (?=\S)"),
    re.compile(
        r" (?=(?:and|but|or|nor|so|yet|because|which|who|whom|whose|that|when|while|where|if|unless|until|although"
        r"|though|since|as|then|after|before|than|whether)\b)",
        re.IGNORECASE,
    ),
    re.compile(
        r" (?=(?:of|in|on|at|to|for|from|with|by|into|over|under|through|about|between|without)\b)", re.IGNORECASE
    ),
    re.compile(r" "),
)


def split_long_words(text: str) -> str:
    """Words longer than 24 letters, and those of many parts, apart: "a-b-c-d-e-f" is "a b c d e f"."""
    return _TOKEN.sub(_cut_word, text)


def split_long_sentence(sentence: str, most: int = MAX_CHARACTERS) -> list[str]:
    """Pieces of at most `most` characters: cut after a clause, else before a conjunction, a preposition, or a word."""
    pieces: list[str] = []
    start = 0
    while len(sentence) - start > most:
        end = _cut_place(sentence, start, most)
        pieces.append(sentence[start:end].strip())
        start = end
    return [piece for piece in (*pieces, sentence[start:].strip()) if piece]


def _cut_place(sentence: str, start: int, most: int) -> int:
    first, last = start + int(_EARLIEST * most), start + most
    # Two pieces of like length rather than a long one and a word.
    if len(sentence) - start < 2 * most:
        last = min(last, start + int(0.65 * (len(sentence) - start)) + 1)
        first = min(first, start + int(0.35 * (len(sentence) - start)))
    for place in _PLACES:
        ends = [found.end() for found in place.finditer(sentence, first, last)]
        if ends:
            return ends[-1]
    return start + most


def _cut_word(found: re.Match[str]) -> str:
    word = found[0]
    if len(word) <= 10:
        return word
    word = _LETTERS.sub(_cut_letters, word)
    if word.count("-") > _MOST_HYPHENS:
        word = re.sub(r"(?<=[^\W_])-(?=[^\W_])", " ", word)
    return " ".join(_cut_parts(part) for part in word.split(" "))


def _cut_letters(found: re.Match[str]) -> str:
    letters = found[0]
    count = -(-len(letters) // _LONGEST_WORD)
    size = -(-len(letters) // count)
    return " ".join(letters[at : at + size] for at in range(0, len(letters), size))


def _cut_parts(word: str) -> str:
    """A word of many capitals, digits or marks in pieces of few of them."""
    parts = _PART.findall(word)
    if len(parts) <= _MOST_PIECES:
        return word
    return " ".join("".join(parts[at : at + _MOST_PIECES]) for at in range(0, len(parts), _MOST_PIECES))
