"""Splitting of long words and long sentences into chunks of bounded length, in linear time."""

from __future__ import annotations

import re

MAX_CHARACTERS = 320
"""Limit of characters of normalised text in one chunk of a sentence."""
_MAX_WORD, _MAX_HYPHENS, _MAX_PARTS = 24, 3, 10
MAX_COMPOUND = 72
"""Limit of letters of a word in languages that write compounds as one word, such as German."""
_MIN_CHUNK = 0.4
"""Length of the shortest chunk, relative to the limit."""
_TOKEN = re.compile(r"\S+")
_LETTERS = re.compile(r"[^\W\d_]+")
_PART = re.compile(r"[A-ZÀ-Þ]+(?![a-zß-ÿ])|[A-ZÀ-Þ]?[a-zß-ÿ]+|[^\W\d_]|\d+|\S")
_BOUNDARIES = (
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


def split_long_words(text: str, limit: int = _MAX_WORD) -> str:
    """Split words of more than `limit` letters and words of many parts: "a-b-c-d-e-f" becomes "a b c d e f"."""
    return _TOKEN.sub(lambda word: _split_word(word[0], limit), text)


def split_long_sentence(sentence: str, limit: int = MAX_CHARACTERS) -> list[str]:
    """Split a sentence into chunks of at most `limit` characters.

    A chunk ends after a clause, otherwise before a conjunction, before a preposition, or between words.
    """
    chunks: list[str] = []
    start = 0
    while len(sentence) - start > limit:
        end = _chunk_end(sentence, start, limit)
        chunks.append(sentence[start:end].strip())
        start = end
    return [chunk for chunk in (*chunks, sentence[start:].strip()) if chunk]


def _chunk_end(sentence: str, start: int, limit: int) -> int:
    first, last = start + int(_MIN_CHUNK * limit), start + limit
    # The last two chunks have similar lengths, so that no chunk is a single word.
    if len(sentence) - start < 2 * limit:
        last = min(last, start + int(0.65 * (len(sentence) - start)) + 1)
        first = min(first, start + int(0.35 * (len(sentence) - start)))
    for boundary in _BOUNDARIES:
        ends = [match.end() for match in boundary.finditer(sentence, first, last)]
        if ends:
            return ends[-1]
    return start + limit


def _split_word(word: str, limit: int) -> str:
    if len(word) <= 10:
        return word
    word = _LETTERS.sub(lambda letters: _split_letters(letters[0], limit), word)
    if word.count("-") > _MAX_HYPHENS:
        word = re.sub(r"(?<=[^\W_])-(?=[^\W_])", " ", word)
    return " ".join(_split_parts(part) for part in word.split(" "))


def _split_letters(letters: str, limit: int) -> str:
    if len(letters) <= limit:
        return letters
    count = -(-len(letters) // limit)
    size = -(-len(letters) // count)
    return " ".join(letters[start : start + size] for start in range(0, len(letters), size))


def _split_parts(word: str) -> str:
    """Split a word of many capitals, digits or marks."""
    parts = _PART.findall(word)
    if len(parts) <= _MAX_PARTS:
        return word
    return " ".join("".join(parts[start : start + _MAX_PARTS]) for start in range(0, len(parts), _MAX_PARTS))
