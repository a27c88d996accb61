"""Numbers to English words, without "and", commas and hyphens: "1,234" to "one thousand two hundred thirty four"."""

from __future__ import annotations

import re
from functools import lru_cache

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)|\d+)(?:\.\d+)?"
"""Pattern of a written number: digits, optionally with commas between groups and with a decimal part."""

_MAX_DIGITS, _MAX_ROUND_DIGITS = 15, 63
"""Digits of the longest cardinal, in general and if all digits after the first 15 are zeros."""
_FIRST_YEAR, _LAST_YEAR = 1100, 2199
_DENOMINATORS = {
    10: "tenth",
    16: "sixteenth",
    20: "twentieth",
    32: "thirty second",
    64: "sixty fourth",
    100: "hundredth",
}
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_WORD = re.compile(r"[a-z]+")


def spell_digits(written: str) -> str:
    """Return the digits one by one: "007" gives "zero zero seven". Other characters are skipped."""
    return " ".join(_DIGITS[int(digit)] for digit in written if digit.isdecimal())


def cardinal(written: str) -> str:
    """Return the cardinal of an integer such as "1,234". Long numbers and those with a leading zero are spelled."""
    plain = written.replace(",", "")
    too_long = len(plain) > _MAX_DIGITS and not (
        len(plain) <= _MAX_ROUND_DIGITS and plain[_MAX_DIGITS:].strip("0") == ""
    )
    if too_long or (len(plain) > 1 and plain[0] == "0"):
        return spell_digits(plain)
    return _words(int(plain), "cardinal")


def ordinal(written: str) -> str:
    """Return the ordinal of an integer: "2" gives "second"."""
    plain = written.replace(",", "")
    if len(plain) > _MAX_DIGITS:
        return spell_digits(plain)
    return _words(int(plain), "ordinal")


def year(written: str) -> str:
    """Return the reading of a year: "1905" gives "nineteen oh five", "2005" gives "two thousand five"."""
    number = int(written)
    century, rest = divmod(number, 100)
    if number < _FIRST_YEAR or number >= 10_000 or (century % 10 == 0 and rest < 10):
        return cardinal(written)
    if rest == 0:
        return f"{_words(century, 'cardinal')} hundred"
    low = f"oh {_words(rest, 'cardinal')}" if rest < 10 else _words(rest, "cardinal")
    return f"{_words(century, 'cardinal')} {low}"


def is_year(written: str) -> bool:
    """Return whether a number of four digits is probably a year."""
    return len(written) == 4 and written.isdecimal() and _FIRST_YEAR <= int(written) <= _LAST_YEAR


def decimal(written: str) -> str:
    """Return the reading of a number that `NUMBER` matches: "3.50" gives "three point five zero"."""
    integer, point, digits = written.partition(".")
    if not point:
        return cardinal(integer)
    return f"{cardinal(integer) + ' ' if integer else ''}point {spell_digits(digits)}"


def decimal_or_year(written: str) -> str:
    """Return the reading of a year for four digits from 1100 to 2199, otherwise `decimal`."""
    return year(written) if is_year(written) else decimal(written)


def is_one(written: str) -> bool:
    """Return whether the noun after the number is in the singular."""
    return written in ("1", "-1")


def fraction(numerator: str, denominator: str, article: bool = False) -> str:
    """Return "three quarters" for "3", "4". article: return "a half" or "a quarter" instead of "one half" etc."""
    count, parts = int(numerator), int(denominator)
    if parts == 2:
        name = "half" if count == 1 else "halves"
    elif parts in (1, 0) or parts > 100:
        return f"{cardinal(numerator)} over {cardinal(denominator)}"
    else:
        name = "quarter" if parts == 4 else _DENOMINATORS.get(parts) or _words(parts, "ordinal")
        name += "" if count == 1 else "s"
    return f"a {name}" if article and count == 1 and parts in (2, 4) else f"{cardinal(numerator)} {name}"


def plural(words: str) -> str:
    """Return the plural of a number word, such as "nineteen nineties" or "sixes"."""
    if words.endswith("y"):
        return f"{words[:-1]}ies"
    return words + ("es" if words.endswith(("x", "s")) else "s")


@lru_cache(maxsize=4096)
def _words(number: int, form: str) -> str:
    from num2words import num2words

    words = _WORD.findall(num2words(number, lang="en", to=form))
    return " ".join(word for word in words if word != "and")
