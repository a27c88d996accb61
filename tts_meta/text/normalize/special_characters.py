"""Signs of formulas and of commerce to words, and what cannot be spoken out of the way."""

from __future__ import annotations

import re
import unicodedata

from tts_meta.text.normalize.scripts import is_new_emoji

_WORDS = {
    "&": "and", "≈": "approximately", "≃": "approximately", "≠": "is not equal to", "≤": "less than or equal to",
    "≥": "greater than or equal to", "±": "plus or minus", "∓": "minus or plus", "÷": "divided by",
    "√": "the square root of",
    "∞": "infinity", "§": "section", "¶": "paragraph", "©": "copyright", "→": "to", "⇒": "implies",
    "⇔": "if and only if",
    "∑": "the sum of", "∏": "the product of", "∫": "the integral of", "∂": "partial", "∇": "nabla", "∈": "in",
    "∉": "not in", "⊂": "a subset of", "∪": "union", "∩": "intersection", "∀": "for all", "∃": "there exists",
    "∝": "proportional to", "∼": "about", "≡": "is identical to", "°": "degrees", "‰": "per mille", "¢": "cents",
    "$": "dollars", "£": "pounds", "€": "euros", "¥": "yen", "%": "percent", "²": "squared", "³": "cubed",
    "№": "number", "@": "at", "⋅": "times", "∙": "times", "−": "minus",
}  # fmt: skip
_ARROWS = re.compile(r"\s*(?:-+>|=+>|→)\s*")
_LEFT_ARROWS = re.compile(r"\s*(?:<-+|<=+(?=\s*[A-Za-z])|←)\s*")
_COMPARISONS = (
    (re.compile(r"\s*(?:>=|≥)\s*"), " greater than or equal to "),
    (re.compile(r"\s*(?:<=|≤)\s*"), " less than or equal to "),
    (re.compile(r"\s*(?:!=|≠)\s*"), " is not equal to "),
    (re.compile(r"\s*={1,3}\s*(?=\S)"), " equals "),
    (re.compile(r"(?<=\S)\s*<\s*(?=[\w-])"), " less than "),
    (re.compile(r"\s*>\s*(?=[\w-])"), " greater than "),
)
_AMPERSAND = re.compile(r"\b([A-Z]{1,3})&([A-Z]{1,2})\b")
_SHARP = re.compile(r"\b([A-GF])#(?!\w)")
_PLUS_PLUS = re.compile(r"(?<=\w)\+\+(?!\w)")
_TIMES = re.compile(r"(?<=[\w)])\s*[×*]\s*(?=[\w(])")
_POWER = re.compile(r"\s*\^\s*\{?(-?\w+)\}?")
_APPROXIMATELY = re.compile(r"~\s?(?=\w)")
_PLUS = re.compile(r"(?<=\w)\s*\+\s*(?=\w)|\s\+\s")
_BETWEEN_SLASH = re.compile(r"(?<=\w)\s?/\s?(?=\w)")
_MINUS = re.compile(r"(?<=\d)\s+[-–]\s+(?=\d)|(?<=\d)-(?=\d)")
_SIGNS = re.compile(f"[{re.escape(''.join(_WORDS))}]")
_BARS = re.compile(r"\s*\|+\s*")
_BRACKETS = str.maketrans("[{]}", "(())")
_MOST_SHOWN = 10
_KEPT = frozenset(".,;:!?…—–-'\"“”() \n")
_RUN = re.compile(r"([.,;:!?…—–'\"()-])(?:\s*\1)+")
_DOTS = re.compile(r"(?:\.\s){2,}\.|\.{3,}")
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE = re.compile(r" +(?=[,.;:!?…](?!\w))")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)")
_SPECIAL = re.compile(r"[²³]|[^\w\s.,;:!?'\"()-]|_|\.\.|--|,,|!!|\?\?|  |;;|::|\s[,.;:!?]|\n|\(\s*[()]|''|\"\"|\)\)")


def verbalize_special_characters(text: str) -> str:
    """ "x < 5" is "x less than 5", "R&D" "R and D", "a/b" "a b", "C++" "C plus plus"; runs of a mark are one."""
    if not _SPECIAL.search(text) and "/" not in text:
        return text.strip()
    text = _AMPERSAND.sub(_spell_and, text)
    text = _SHARP.sub(r"\1 sharp", text)
    text = _PLUS_PLUS.sub(" plus plus", text)
    text = _ARROWS.sub(" to ", text)
    text = _LEFT_ARROWS.sub(" ", text)
    for pattern, words in _COMPARISONS:
        text = pattern.sub(words, text)
    text = _POWER.sub(_power, text)
    text = _TIMES.sub(_times, text)
    text = _APPROXIMATELY.sub("about ", text)
    text = _PLUS.sub(" plus ", text)
    text = _MINUS.sub(" minus ", text)
    text = _BARS.sub(", ", text)
    text = _SIGNS.sub(lambda m: f" {_WORDS[m[0]]} ", text)
    text = _BETWEEN_SLASH.sub(" ", text).translate(_BRACKETS)
    return text


def remove_unspeakable(text: str) -> str:
    """The text without what cannot be spoken, runs of a mark as one, spaces single."""
    if not _SPECIAL.search(text):
        return text.strip()
    text = "".join(
        [character if character.isascii() and character.isalnum() else _speakable(character) for character in text]
    )
    text = _DOTS.sub("…", text)
    text = _RUN.sub(r"\1", text)
    text = _EMPTY_BRACKETS.sub(" ", text)
    return _SPACE_BEFORE.sub("", _SPACES.sub(" ", text)).strip()


def remove_emoji(text: str) -> str:
    """The text without emoji and pictographs, spaces single; other signs stay for a phonemizer that reads them."""
    if not text.isascii():
        text = "".join([" " if character > "\u2000" and _is_picture(character) else character for character in text])
    return _SPACES.sub(" ", text).strip()


def omitted_emoji(text: str) -> str | None:
    """A line that names the emoji and pictographs of a text, which are not spoken; None where it has none."""
    if text.isascii():
        return None
    found = [character for character in dict.fromkeys(text) if character > "\u2000" and _is_picture(character)]
    if not found:
        return None
    more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
    return f"not spoken: {' '.join(found[:_MOST_SHOWN])}{more} (pictures in the text)"


def _is_picture(character: str) -> bool:
    kind = unicodedata.category(character)
    if is_new_emoji(character):
        return True
    return kind in ("So", "Co") and character not in _WORDS and not 0x2500 <= ord(character) <= 0x25FF


def _spell_and(found: re.Match[str]) -> str:
    """Letters around "&" are names of letters, with dots where they would be words: "A.T. and T"."""
    before, after = (
        name if name not in ("A", "AT", "I") else "".join(f"{c}." for c in name) for name in found.groups()
    )
    return f"{before} and {after}"


def _power(found: re.Match[str]) -> str:
    exponent = found[1]
    if exponent in ("2", "3"):
        return " squared" if exponent == "2" else " cubed"
    return f" to the power of {exponent}"


def _times(found: re.Match[str]) -> str:
    before, after = found.string[found.start() - 1], found.string[found.end()]
    return " times " if "×" in found[0] or before.isdecimal() or after.isdecimal() or found[0] == " * " else " "


def _speakable(character: str) -> str:
    if character in _KEPT:
        return character
    kind = unicodedata.category(character)
    return character if kind[0] == "L" else "" if kind[0] == "M" else " "
