"""Verbalisation of fractions and mixed numbers, with the unit after them."""

from __future__ import annotations

import re

from tts_meta.text.normalize.dates_times import day_of_month
from tts_meta.text.normalize.number_words import cardinal, fraction
from tts_meta.text.normalize.units import unit_names

_MIXED = re.compile(
    r"(?<![\w./,])(?:(-?\d+)[ -])?(\d{1,4})/(\d{1,4})(?:rds?|ths?|nds?)?(?![\w/])(?:(\s?)-?([A-Za-zμΩ]{1,4})(?!\w))?"
)
_SPECIAL = {"24/7": "twenty four seven", "9/11": "nine eleven", "50/50": "fifty fifty"}


def verbalize_fractions(text: str) -> str:
    """Verbalise fractions: "1 1/2" to "one and a half", "1/2 km" to "one half kilometer"; "10/31" is read as a date."""
    return _MIXED.sub(_mixed, text) if "/" in text else text


def _mixed(match: re.Match[str]) -> str:
    integer, numerator, denominator, space, unit = match.groups()
    names = unit_names(unit) if unit else None
    if integer is None and names is None and f"{numerator}/{denominator}" in _SPECIAL:
        return _SPECIAL[f"{numerator}/{denominator}"] + match[0][len(f"{numerator}/{denominator}") :]
    after = ""
    if names:
        after = f" {names[1] if integer else names[0]}"
    elif unit:
        after = f"{space}{unit}" if not match[0].endswith(f"-{unit}") else f" {unit}"
    if int(denominator) == 0 or (integer and int(numerator) >= int(denominator)):
        return f"{integer + ' ' if integer else ''}{cardinal(numerator)} over {cardinal(denominator)}{after}"
    if numerator == denominator and not integer:
        return f"{cardinal(numerator)} out of {cardinal(denominator)}{after}"
    if integer:
        sign = "minus " if integer.startswith("-") else ""
        return f"{sign}{cardinal(integer.lstrip('-'))} and {fraction(numerator, denominator, article=True)}{after}"
    if int(numerator) < int(denominator) and (
        int(denominator) <= 10 or denominator in ("12", "16", "20", "32", "64", "100")
    ):
        return fraction(numerator, denominator) + after
    may_be_date = len(numerator) <= 2 and len(denominator) <= 2 and int(denominator) > 12
    date = day_of_month(numerator, denominator) if may_be_date else None
    return (date or f"{cardinal(numerator)} over {cardinal(denominator)}") + after
