"""Verbalisation of mathematical and commercial signs, and removal of characters that cannot be spoken."""

from __future__ import annotations

import re
import unicodedata

SIGN_WORDS = {
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
_SIGNS = re.compile(f"[{re.escape(''.join(SIGN_WORDS))}]")
_BARS = re.compile(r"\s*\|+\s*")
_BRACKETS = str.maketrans("[{]}", "(())")
_PUNCTUATION = frozenset(".,;:!?…—–-'\"“”() \n")
_REPEATED_MARK = re.compile(r"([.,;:!?…—–'\"()-])(?:\s*\1)+")
_DOTS = re.compile(r"(?:\.\s){2,}\.|\.{3,}")
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE = re.compile(r" +(?=[,.;:!?…](?!\w))")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)")
_SPECIAL = re.compile(r"[²³]|[^\w\s.,;:!?'\"()-]|_|\.\.|--|,,|!!|\?\?|  |;;|::|\s[,.;:!?]|\n|\(\s*[()]|''|\"\"|\)\)")


def verbalize_special_characters(text: str) -> str:
    """Verbalise signs: "x < 5" to "x less than 5", "R&D" to "R and D", "C++" to "C plus plus", "a/b" to "a b"."""
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
    text = _SIGNS.sub(lambda m: f" {SIGN_WORDS[m[0]]} ", text)
    text = _BETWEEN_SLASH.sub(" ", text).translate(_BRACKETS)
    return text


def remove_unspeakable(text: str) -> str:
    """Return the text without characters that cannot be spoken, repeated punctuation marks and repeated spaces."""
    if not _SPECIAL.search(text):
        return text.strip()
    text = "".join(
        [character if character.isascii() and character.isalnum() else _keep_speakable(character) for character in text]
    )
    text = _DOTS.sub("…", text)
    text = _REPEATED_MARK.sub(r"\1", text)
    text = _EMPTY_BRACKETS.sub(" ", text)
    return _SPACE_BEFORE.sub("", _SPACES.sub(" ", text)).strip()


def remove_symbols(text: str) -> str:
    """Return the text without pictures and control characters, repeated marks and spaces; signs stay for eSpeak."""
    text = "".join([" " if not character.isascii() and _is_picture(character) else character for character in text])
    text = _REPEATED_MARK.sub(r"\1", _DOTS.sub("…", text))
    return _SPACE_BEFORE.sub("", _SPACES.sub(" ", _EMPTY_BRACKETS.sub(" ", text))).strip()


def _is_picture(character: str) -> bool:
    return character not in "°№©\ufffd" and unicodedata.category(character) in ("So", "Sk", "Co", "Cc", "Cf")


def _spell_and(match: re.Match[str]) -> str:
    """Spell the letters around "&"; letters that form a word get dots: "AT&T" becomes "A.T. and T"."""
    before, after = (
        name if name not in ("A", "AT", "I") else "".join(f"{c}." for c in name) for name in match.groups()
    )
    return f"{before} and {after}"


def _power(match: re.Match[str]) -> str:
    exponent = match[1]
    if exponent in ("2", "3"):
        return " squared" if exponent == "2" else " cubed"
    return f" to the power of {exponent}"


def _times(match: re.Match[str]) -> str:
    before, after = match.string[match.start() - 1], match.string[match.end()]
    return " times " if "×" in match[0] or before.isdecimal() or after.isdecimal() or match[0] == " * " else " "


def _keep_speakable(character: str) -> str:
    if character in _PUNCTUATION:
        return character
    category = unicodedata.category(character)
    return character if category[0] == "L" else "" if category[0] == "M" else " "
