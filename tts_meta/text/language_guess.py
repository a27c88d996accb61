"""`guess_language`: the language of a text by its most frequent words, for warnings; no guess where it is not clear."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FREQUENT = {
    "de": "und der die das ist nicht ich ein eine einen zu den mit sich auf dem wir auch war von wie für noch nach",
    "en": "the and of to is was that it with for he she they you have not this are be his her from had as at",
    "es": "el los las y que en un una por con no se del es para como su al lo más pero muy está",
    "fr": "et le les des est une dans que qui pas pour vous nous il elle ce au du sur je avec sont mais était",
    "it": "il lo gli che di è una per non con sono della nel si ma come più anche del era ho questo",
    "nl": "de het een en van niet dat ik je op met voor zijn maar ook er aan was hij ze naar wat",
    "pl": "i w nie na się że do to jest z jak ale o tak po co był dla",
    "pt": "o os as um uma que não e do da em para com se por mais mas ao foi ele seu como",
    "sv": "och att det är en som på jag inte för med den av han till ett var de om har",
}
_WORDS = {language: frozenset(words.split()) for language, words in _FREQUENT.items()}
_WORD = re.compile(r"[^\W\d_]{2,}")
_MIN_WORDS, _MIN_HITS, _MIN_SHARE, _MIN_RATIO = 6, 4, 0.2, 3.0
"""A guess needs this many words, frequent words of the language, share of these, and ratio to the expected language."""

_MAX_CHARACTERS = 5000
"""The language of a longer text is that of its start."""


def guess_language(texts: Iterable[str], expected: str) -> str | None:
    """Return the language that texts seem to be in, if it is not `expected`; None if it is, or if it is not clear.

    Nine languages are known (`_FREQUENT`). Outside of them the result is None.
    """
    words = [word for text in texts for word in _WORD.findall(text.lower())]
    if expected not in _WORDS or len(words) < _MIN_WORDS:
        return None
    hits = {language: sum(word in frequent for word in words) for language, frequent in _WORDS.items()}
    best = max(hits, key=lambda language: hits[language])
    is_clear = hits[best] >= max(_MIN_HITS, _MIN_SHARE * len(words), _MIN_RATIO * hits[expected])
    return best if is_clear else None


def language_notice(text: str, language: str) -> str | None:
    """Return one line for the user if a text seems to be in another language than `language`; otherwise None."""
    guess = guess_language([text[:_MAX_CHARACTERS]], language)
    return f"the text seems to be in '{guess}', but the base reads '{language}'" if guess else None
