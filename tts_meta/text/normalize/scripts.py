"""Letters that English cannot read, and Greek letters that are symbols."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from tts_meta.errors import TtsMetaError
from tts_meta.text.normalize.units import unit_names

_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_GREEK = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", _NAMES.split(), strict=True))
_GREEK |= {letter.upper(): name for letter, name in _GREEK.items()}
_GREEK |= {"ς": "sigma", "ϵ": "epsilon", "ϑ": "theta", "ϕ": "phi", "ϱ": "rho", "ϖ": "pi", "ϰ": "kappa"}
_GREEK_RUN = re.compile("[Ͱ-Ͽἀ-῿]+")
_MICRO = re.compile(r"(?<!\w)μ[mgsLlVAFW](?!\w)")
_WORD = re.compile(r"\S+")
_LONGEST_SYMBOL = 2
_MOST_SHOWN = 10


def verbalize_greek(text: str) -> str:
    """One or two Greek letters in a row are symbols and read by name: "α" is "alpha", "Δx" "delta x"."""
    if text.isascii():
        return text
    text = _MICRO.sub(lambda m: (unit_names(m[0]) or (m[0], m[0]))[1], text)
    return _GREEK_RUN.sub(_named, text)


def check_letters(text: str, sentence: str) -> None:
    """Raise TtsMetaError naming the letters and the word where a letter of `text` is not Latin."""
    if text.isascii():
        return
    for word in _WORD.findall(text):
        unread = [character for character in dict.fromkeys(word) if character > "\x7f" and not _readable(character)]
        if not unread:
            continue
        letters = " ".join(_shown(character) for character in unread[:_MOST_SHOWN])
        shown = word if len(word) <= 40 else f"{word[:40]}…"
        raise TtsMetaError(
            f"cannot read '{_printable(shown)}' in \"{_printable(sentence)}\"; "
            f"write it in English letters (not English: {letters})"
        )


def check_characters(text: str) -> None:
    """Raise TtsMetaError where the text holds half a character, as of a file that was decoded wrong."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.end + 20]
        raise TtsMetaError(
            f"cannot read '{_printable(text[error.start])}' in \"{_printable(' '.join(near.split()))}\"; "
            "it is no character: decode the text as UTF-8"
        ) from error


def _named(found: re.Match[str]) -> str:
    letters = found[0]
    if len(letters) > _LONGEST_SYMBOL or any(letter not in _GREEK for letter in letters):
        return letters
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    if before.isalpha() and before.islower():
        return letters
    named = " ".join(_GREEK[letter] for letter in letters)
    return f"{' ' if before.isalnum() else ''}{named}{' ' if after.isalnum() else ''}"


def is_new_emoji(character: str) -> bool:
    """Whether the code point is of the blocks of emoji, also where this Python's Unicode has no name for it yet."""
    return 0x1F000 <= ord(character) <= 0x1FAFF


@lru_cache(maxsize=4096)
def _readable(character: str) -> bool:
    kind = unicodedata.category(character)
    if is_new_emoji(character):
        return True
    if character == "\ufffd" or kind in ("Cs", "Cn"):
        return False
    if kind[0] == "M":
        # Marks that compose with no Latin letter are left out; those of other scripts belong to their letters.
        return unicodedata.name(character, "").startswith("COMBINING")
    return kind[0] != "L" or "LATIN" in unicodedata.name(character, "") or kind == "Lm"


def _shown(character: str) -> str:
    name = unicodedata.name(character, "")
    script = name.split(" ")[0].capitalize() if unicodedata.category(character)[0] == "L" and name else ""
    return f"{_printable(character)} ({script})" if script else f"{_printable(character)} (U+{ord(character):04X})"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
