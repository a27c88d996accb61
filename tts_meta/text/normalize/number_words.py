"""Digits to English words, without "and", commas and hyphens: "1,234" is "one thousand two hundred thirty four"."""

from __future__ import annotations

import re
from functools import lru_cache

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)|\d+)(?:\.\d+)?"
"""A number as written: digits, grouped by commas or not, with a decimal part or not."""

_LONGEST_PLAIN, _LONGEST_ROUND = 15, 63
"""Digits of the longest number read as one, and of the longest where all but the first 15 are zeros."""
_FIRST_YEAR, _LAST_YEAR = 1100, 2199
_POWERS = {10: "tenth", 16: "sixteenth", 20: "twentieth", 32: "thirty second", 64: "sixty fourth", 100: "hundredth"}
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_WORD = re.compile(r"[a-z]+")


def spell_digits(written: str) -> str:
    """Each digit by itself: "007" is "zero zero seven". Other characters are skipped."""
    return " ".join(_DIGITS[int(digit)] for digit in written if digit.isdecimal())


def cardinal(written: str) -> str:
    """A whole number: "1,234", "0" or "21". One with a leading zero, or too long to name, is read by digits."""
    plain = written.replace(",", "")
    too_long = len(plain) > _LONGEST_PLAIN and not (
        len(plain) <= _LONGEST_ROUND and plain[_LONGEST_PLAIN:].strip("0") == ""
    )
    if too_long or (len(plain) > 1 and plain[0] == "0"):
        return spell_digits(plain)
    return _words(int(plain), "cardinal")


def ordinal(written: str) -> str:
    """ "2" is "second"."""
    plain = written.replace(",", "")
    if len(plain) > _LONGEST_PLAIN:
        return spell_digits(plain)
    return _words(int(plain), "ordinal")


def year(written: str) -> str:
    """ "1905" is "nineteen oh five", "2005" is "two thousand five", "1900" is "nineteen hundred"."""
    number = int(written)
    century, rest = divmod(number, 100)
    if number < _FIRST_YEAR or number >= 10_000 or (century % 10 == 0 and rest < 10):
        return cardinal(written)
    if rest == 0:
        return f"{_words(century, 'cardinal')} hundred"
    low = f"oh {_words(rest, 'cardinal')}" if rest < 10 else _words(rest, "cardinal")
    return f"{_words(century, 'cardinal')} {low}"


def is_year(written: str) -> bool:
    """Whether four digits are rather a year than a count."""
    return len(written) == 4 and written.isdecimal() and _FIRST_YEAR <= int(written) <= _LAST_YEAR


def decimal(written: str) -> str:
    """What `NUMBER` matches: "3.50" is "three point five zero", ".5" is "point five"."""
    whole, point, part = written.partition(".")
    if not point:
        return cardinal(whole)
    return f"{cardinal(whole) + ' ' if whole else ''}point {spell_digits(part)}"


def decimal_or_year(written: str) -> str:
    """The same, four digits from 1100 to 2199 as a year."""
    return year(written) if is_year(written) else decimal(written)


def is_one(written: str) -> bool:
    """Whether the noun after the number is in the singular."""
    return written in ("1", "-1")


def fraction(top: str, bottom: str, article: bool = False) -> str:
    """ "1", "2" is "one half", "3", "4" "three quarters"; `article` says "a half" for "one half"."""
    count, parts = int(top), int(bottom)
    if parts == 2:
        name = "half" if count == 1 else "halves"
    elif parts in (1, 0) or parts > 100:
        return f"{cardinal(top)} over {cardinal(bottom)}"
    else:
        name = "quarter" if parts == 4 else _POWERS.get(parts) or _words(parts, "ordinal")
        name += "" if count == 1 else "s"
    return f"a {name}" if article and count == 1 and parts in (2, 4) else f"{cardinal(top)} {name}"


def plural(words: str) -> str:
    """The plural of a number word: "nineteen nineties", "sixes"."""
    if words.endswith("y"):
        return f"{words[:-1]}ies"
    return words + ("es" if words.endswith(("x", "s")) else "s")


@lru_cache(maxsize=4096)
def _words(number: int, form: str) -> str:
    from num2words import num2words

    words = _WORD.findall(num2words(number, lang="en", to=form))
    return " ".join(word for word in words if word != "and")
