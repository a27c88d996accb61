"""Letters of other scripts: Greek letters as symbols, and an error for letters that the language does not use."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from tts_meta.errors import TtsMetaError
from tts_meta.text.normalize.emoji import is_emoji_block
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
_LANGUAGES_OF = {
    "ARABIC": "ar fa ur sd ug ku", "ARMENIAN": "hy hyw", "BENGALI": "bn as bpy", "CHEROKEE": "chr",
    "CYRILLIC": "ru uk be bg mk sr bs kk ky tt ba cv nog kaa uz tk az", "DEVANAGARI": "hi mr ne kok",
    "ETHIOPIC": "am ti", "GEORGIAN": "ka", "GREEK": "el grc", "GUJARATI": "gu", "GURMUKHI": "pa", "HEBREW": "he",
    "KANNADA": "kn", "MALAYALAM": "ml", "MYANMAR": "my shn", "ORIYA": "or", "SINHALA": "si", "TAMIL": "ta",
    "TELUGU": "te", "THAI": "th",
    "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "ja ko zh yue hak",
}  # fmt: skip
"""Languages that are not only written in Latin letters, by script; scripts have the names of Unicode."""
_MAX_SYMBOL = 2
_MAX_SHOWN = 10


def verbalize_greek(text: str) -> str:
    """Verbalise one or two Greek letters in a row by their names: "α" to "alpha", "Δx" to "delta x"."""
    if text.isascii():
        return text
    text = _MICRO.sub(lambda m: (unit_names(m[0]) or (m[0], m[0]))[1], text)
    return _GREEK_RUN.sub(_named, text)


def check_letters(text: str, sentence: str, language: str = "en") -> None:
    """Raise TtsMetaError, naming the word and its letters, if a letter of `text` is not of a script of the language.

    Latin letters belong to every language. One or two Greek letters in a row are symbols outside English, where
    `verbalize_greek` replaces them.
    """
    if text.isascii():
        return
    scripts = tuple(script for script, languages in _LANGUAGES_OF.items() if language in languages.split())
    for word in _WORD.findall(text if language == "en" else _GREEK_RUN.sub(_without_symbol, text)):
        characters = [character for character in dict.fromkeys(word) if character > "\x7f"]
        unreadable = [character for character in characters if not _is_readable(character, scripts)]
        if not unreadable:
            continue
        letters = " ".join(_shown(character) for character in unreadable[:_MAX_SHOWN])
        shown = word if len(word) <= 40 else f"{word[:40]}…"
        name = "English" if language == "en" else " or ".join(["Latin", *map(str.title, scripts)])
        reader = "" if language == "en" else f"the base reads '{language}', "
        raise TtsMetaError(
            f"cannot read '{_printable(shown)}' in \"{_printable(sentence)}\"; "
            f"{reader}write it in {name} letters (not {name}: {letters})"
        )


def check_characters(text: str) -> None:
    """Raise TtsMetaError if the text holds a surrogate code point, as after decoding with a wrong encoding."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.end + 20]
        raise TtsMetaError(
            f"cannot read '{_printable(text[error.start])}' in \"{_printable(' '.join(near.split()))}\"; "
            "it is not a character; decode the text as UTF-8"
        ) from error


def _without_symbol(match: re.Match[str]) -> str:
    return "" if len(match[0]) <= _MAX_SYMBOL and match[0][0] in _GREEK else match[0]


def _named(match: re.Match[str]) -> str:
    letters = match[0]
    if len(letters) > _MAX_SYMBOL or any(letter not in _GREEK for letter in letters):
        return letters
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    if before.isalpha() and before.islower():
        return letters
    named = " ".join(_GREEK[letter] for letter in letters)
    return f"{' ' if before.isalnum() else ''}{named}{' ' if after.isalnum() else ''}"


@lru_cache(maxsize=4096)
def _is_readable(character: str, scripts: tuple[str, ...]) -> bool:
    category = unicodedata.category(character)
    if is_emoji_block(character):
        return True
    if character == "\ufffd" or category in ("Cs", "Cn"):
        return False
    if character in "ºª":  # ordinals in Spanish and Portuguese
        return True
    if scripts and re.split("[ -]", unicodedata.name(character, ""))[0] in scripts:
        return True
    if category[0] == "M":
        # Combining marks without a Latin letter are removed later. Marks of other scripts are not readable.
        return unicodedata.name(character, "").startswith("COMBINING")
    return category[0] != "L" or "LATIN" in unicodedata.name(character, "") or category == "Lm"


def _shown(character: str) -> str:
    name = unicodedata.name(character, "")
    script = name.split(" ")[0].capitalize() if unicodedata.category(character)[0] == "L" and name else ""
    return f"{_printable(character)} ({script})" if script else f"{_printable(character)} (U+{ord(character):04X})"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
