"""Verbalisation of all other numbers: telephone numbers, IP addresses, versions, ranges, ordinals and cardinals."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import (
    NUMBER,
    cardinal,
    decimal,
    decimal_or_year,
    is_year,
    ordinal,
    plural,
    spell_digits,
    year,
)

_TIMES = re.compile(r"(?<=\d) ?\* ?(?=\d)")
_DECIMAL_COMMA = re.compile(r"(?<![\d,.])(\d+),(\d{1,2})(?= ?(?:million|billion|trillion|%|percent)\b| ?%)")
_EUROPEAN = re.compile(r"(?<![\w.,])([1-9]\d{0,2}(?:\.\d{3})+),(\d{1,2})(?!\d)")
_SCIENTIFIC = re.compile(r"(?<![\w.,])(\d+(?:\.\d+)?)[eE]([+-]?)(\d{1,3})(?!\w)")
_GROUPED = re.compile(r"(?<![\w.,])(?<!\d )([1-9]\d{0,2})((?: \d{3})+)(?![\d]| ?\d)(?:,(\d\d)(?!\d))?(?!,\d{3})")
_DOTTED_GROUPS = re.compile(r"(?<![\w.,])([1-9]\d{0,2}(?:\.\d{3}){2,})(?![\w]|\.\d)")
_APOSTROPHE_GROUPS = re.compile(r"(?<![\w.,'])([1-9]\d{0,2}(?:'\d{3})+)(?![\w'])")
_INTERNATIONAL = re.compile(
    r"(?<![\w+])\+\d{1,3}(?:[ .-]?\(\d{1,4}\))?(?:[ .-]\d{2,5}){2,5}(?![\w-])"
    r"|(?<![\w+])\+\d{9,15}\b"
)
_PHONE = re.compile(
    r"(?<![\w.+-])(?:(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}|\d{3}-\d{4}"
    r"|0\d{2,4} \d{3,4} \d{3,4})(?![\w-]|\.\d)"
)
_HYPHENATED = re.compile(r"(?<![\w.-])\d+(?:-\d+){2,}(?![\w-])")
_IP_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?:/\d+)?(?![\w.]*\d)")
_VERSION = re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}(?!\d)")
_V = re.compile(r"\bv\.? ?(?=\d+(?:\.\d+)*\b)")
_NUMBER_SIGN = re.compile(r"(?<![\w&])#\s?(?=\d)|№\s?(?=\d)|\b[Nn][º°]\s?(?=\d)")
_RANGE = re.compile(r"(?<![\w.,-])(\d+(?:[.,]\d+)*)(?: ?– ?|-| - )(\d+(?:[.,]\d+)*)(?![\w-])(?!\.\d)")
_ORDINAL = re.compile(r"(?<![\w.])(\d+(?:,\d{3})*)(st|nd|rd|th)\b", re.IGNORECASE)
_PLURAL = re.compile(r"(?<![\d.])(\d+)'?s\b")
_MINUS = re.compile(r"(?<![\w)])[-–](?=\.?\d)")
_PLUS = re.compile(r"(?<![\w+])\+(?=\.?\d)")
_AT_LEAST = re.compile(r"(?<=\d)\+(?!\w)")
_EMERGENCY = re.compile(r"(?<![\w.,])(911|999|112)(?![\w,]|\.\d)(?=\s*(?:[.,;!?]|$|operator|call))")
_LETTER_A = re.compile(r"(?<![^\W_])A-?(?=\d)|(?<=\d)A(?![^\W_])")
_MIX = re.compile(r"(?<=[^\W\d_])-?(?=\d)|(?<=\d)(?=[^\W\d_])(?!s\b)")
_NUMBER = re.compile(rf"(?<![\d.]){NUMBER}|(?<![\w.])\.\d+|\d+")
_COUNTED = re.compile(r"\s(?:people|times|days|years|miles|pages|points|words|men|women|votes|copies|students|items)\b")


def verbalize_numerals(text: str) -> str:
    """Verbalise numbers: "2.0.1" to "two point zero point one", "3rd" to "third", "12" to "twelve"."""
    text = _V.sub("version ", _NUMBER_SIGN.sub("number ", text))
    text = _INTERNATIONAL.sub(lambda m: f"plus {_digit_groups(m[0])}", text)
    text = _PHONE.sub(lambda m: _digit_groups(m[0]), text)
    text = _HYPHENATED.sub(lambda m: _digit_groups(m[0]), text)
    text = _IP_ADDRESS.sub(_ip_address, text)
    text = _VERSION.sub(lambda m: " point ".join(cardinal(part) for part in m[0].split(".")), text)
    text = _EMERGENCY.sub(lambda m: spell_digits(m[0]), text)
    text = _RANGE.sub(_range, text)
    text = _ORDINAL.sub(lambda m: ordinal(m[1]), text)
    text = _AT_LEAST.sub(" plus", _PLUS.sub("plus ", _MINUS.sub("minus ", text)))
    text = _MIX.sub(" ", _LETTER_A.sub(" A. ", text))
    text = _PLURAL.sub(lambda m: plural(decimal_or_year(m[1])), text)
    return _NUMBER.sub(_cardinal_or_year, text)


def join_digit_groups(text: str) -> str:
    """Remove the separators of digit groups, such as "10 000", "1'000" and "1.000.000", and rewrite "1e5"."""
    text = _DECIMAL_COMMA.sub(r"\1.\2", _TIMES.sub(" times ", text))
    text = _EUROPEAN.sub(lambda m: f"{m[1].replace('.', '')}.{m[2]}", text)
    text = _SCIENTIFIC.sub(lambda m: f"{m[1]} times 10 to the power of {m[2].strip('+')}{m[3]}", text)
    text = _DOTTED_GROUPS.sub(lambda m: m[1].replace(".", ""), text)
    text = _APOSTROPHE_GROUPS.sub(lambda m: m[1].replace("'", ""), text)
    return _GROUPED.sub(lambda m: m[1] + m[2].replace(" ", "") + (f".{m[3]}" if m[3] else ""), text)


def _digit_groups(written: str) -> str:
    return ", ".join(spell_digits(group) for group in re.findall(r"\d+", written))


def _ip_address(match: re.Match[str]) -> str:
    parts = re.split(r"([.:/])", match[0])
    if any(int(part) > 255 for part in parts[:7:2]):
        return match[0]
    names = {".": "dot", ":": "colon", "/": "slash"}
    return " ".join(names.get(part) or spell_digits(part) for part in parts)


def _range(match: re.Match[str]) -> str:
    first, last = match.groups()
    is_difference = " - " in match[0] and "=" in match.string
    if is_difference:
        return f"{decimal(first)} minus {decimal(last)}"
    if is_year(first) and len(last) in (2, 4) and last.isdecimal():
        low = f"oh {cardinal(last[1])}" if len(last) == 2 and last[0] == "0" else decimal_or_year(last)
        return f"{year(first)} to {low}"
    return f"{_range_end(first)} to {_range_end(last)}"


def _cardinal_or_year(match: re.Match[str]) -> str:
    written = match[0]
    is_count = _COUNTED.match(match.string, match.end())
    return decimal(written) if is_count else decimal_or_year(written)


def _range_end(written: str) -> str:
    return _NUMBER.sub(lambda m: decimal_or_year(m[0]), written)
