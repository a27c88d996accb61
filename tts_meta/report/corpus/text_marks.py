"""Unusual characters of a transcript: markup, wrong encodings, symbols, and letters of a rare script."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import cache

_COMMON = frozenset(string.ascii_letters + string.digits + " .,;:!?'\"-()…–—‘’“”„«»%&$£€/+°")
_SYMBOLS = frozenset("<>{}[]|\\^~_=#*`@")
"""Characters of code and of annotations such as `[laughter]`."""
_JOINERS = frozenset("\u200c\u200d")
"""Format characters of some scripts."""
_MARKUP = re.compile(r"<[A-Za-z/!][^>]*>|&(?:[A-Za-z]{2,8}|#\d{1,6});")
_WRONG_ENCODING = re.compile("[ÂÃ][\x80-\xbf]|â€")
_FIRST_OTHER_SCRIPT = 0x250
"""All letters below this code point are Latin."""


def text_marks(text: str) -> str | None:
    """Return what is unusual in a text, such as `markup (<b>)`, or None. Letters of any script are usual."""
    if match := _MARKUP.search(text):
        return f"markup ({match[0][:40]})"
    if match := _WRONG_ENCODING.search(text):
        return f"characters of a wrong encoding ({match[0]})"
    unusual = sorted({character for character in set(text) - _COMMON if _is_unusual(character)})
    if not unusual:
        return None
    return "unusual characters (" + " ".join(_shown(character) for character in unusual[:8]) + ")"


def scripts_of(text: str) -> frozenset[str]:
    """Return the scripts of the letters of a text, such as `LATIN` and `CYRILLIC`."""
    if text.isascii():
        return _LATIN if any(character.isalpha() for character in text) else frozenset()
    return frozenset(script for character in set(text) if (script := _script(character)))


def weighted_letters(text: str) -> int:
    """Return the number of letters of a text, in which a digit counts as four letters, as it is spoken."""
    count = sum(map(str.isalnum, text))
    return count + 3 * sum(map(str.isdigit, text)) if count else 0


_LATIN = frozenset({"LATIN"})


@cache
def _is_unusual(character: str) -> bool:
    category = unicodedata.category(character)
    if character in _SYMBOLS or character == "\ufffd":
        return True
    return (category in ("Cc", "Cf", "Co", "Cn", "So") and not character.isspace()) and character not in _JOINERS


@cache
def _script(character: str) -> str:
    if unicodedata.category(character) not in ("Lu", "Ll", "Lt", "Lo"):
        return ""
    name = unicodedata.name(character, "")
    return "LATIN" if ord(character) < _FIRST_OTHER_SCRIPT else name.split(" ")[0].split("-")[0]


def _shown(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{character} {code}" if character.isprintable() else code
