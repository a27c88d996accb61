"""Fractions and mixed numbers, with the unit after them."""

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
    """ "1 1/2" is "one and a half", "3/4" "three quarters", "1/2 km" "one half kilometer"; "10/31" is a date."""
    return _MIXED.sub(_mixed, text) if "/" in text else text


def _mixed(found: re.Match[str]) -> str:
    whole, top, bottom, space, unit = found.groups()
    names = unit_names(unit) if unit else None
    if whole is None and names is None and f"{top}/{bottom}" in _SPECIAL:
        return _SPECIAL[f"{top}/{bottom}"] + found[0][len(f"{top}/{bottom}") :]
    after = ""
    if unit:
        after = (
            f" {names[1] if whole else names[0]}"
            if names
            else found[0][found[0].index(bottom, len(top)) + len(bottom) :]
        )
        if names is None:
            after = f"{space}{unit}" if not found[0].endswith(f"-{unit}") else f" {unit}"
    if int(bottom) == 0 or (whole and int(top) >= int(bottom)):
        return f"{whole + ' ' if whole else ''}{cardinal(top)} over {cardinal(bottom)}{after}"
    if top == bottom and not whole:
        return f"{cardinal(top)} out of {cardinal(bottom)}{after}"
    if whole:
        sign = "minus " if whole.startswith("-") else ""
        return f"{sign}{cardinal(whole.lstrip('-'))} and {fraction(top, bottom, article=True)}{after}"
    if int(top) < int(bottom) and (int(bottom) <= 10 or bottom in ("12", "16", "20", "32", "64", "100")):
        return fraction(top, bottom) + after
    date = day_of_month(top, bottom) if len(top) <= 2 and len(bottom) <= 2 and int(bottom) > 12 else None
    return (date or f"{cardinal(top)} over {cardinal(bottom)}") + after
