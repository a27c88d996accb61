"""Feet and inches, dimensions, and angles in degrees, minutes and seconds."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import NUMBER, decimal, fraction, is_one
from tts_meta.text.normalize.units import UNIT

_INCH_WORD = re.compile(rf"(?<![\w.])({NUMBER}|\d+ \d/\d) (in\.)(?=\s*(?:[a-z,;:)x×]|$))")
_ARC = re.compile(rf"(\d+)\s?°\s?(\d+)'\s?(?:({NUMBER})(?:\"|''))?")
_FEET_INCHES = re.compile(
    r"(?<![\w.'])(\d+)(?:'|\s?ft\.?\s)\s?(\d{1,2}(?:\.\d+)?)(?:\s(\d)/(\d{1,2}))?(?:\"|''|\s?in\b\.?)"
)
_FEET_BARE_INCHES = re.compile(r"(?<![\w.'])(\d)'(\d{1,2})(?![\w'\"])")
_FEET = re.compile(rf"(?<![\w.'])({NUMBER})'(?![\w'])")
_INCHES = re.compile(rf"(?<![\w.'])({NUMBER}|\d+ \d+/\d+|\d+/\d+)(?:\"|'')(?!\w)")
_BY = re.compile(rf"(?<![\w.])({NUMBER})((?:\s?(?:{UNIT}|[\"']))?)\s?[x×]\s?(?={NUMBER})")
_TIMES = re.compile(rf"(?<![\w.])({NUMBER})[x×](?!\w)")

_QUOTE = re.compile(r"(?<!\d)\"")
_ARTICLE = re.compile(r"\b[Aa]n? $")
_NEAR = 300
"""Characters before a mark in which an opening quote is looked for."""


def verbalize_dimensions(text: str) -> str:
    """ "6'2\\"" is "six foot two", "5 x 3" "five by three", "10x" "ten times"; inches stay digits before "inches"."""
    for _ in range(3):
        text = _BY.sub(_by, text)
    text = _TIMES.sub(lambda m: f"{decimal(m[1])} times", text)
    if "'" not in text and '"' not in text and "ft" not in text and "in" not in text:
        return text
    text = _ARC.sub(_arc, text)
    text = _FEET_INCHES.sub(_feet_inches, text)
    text = _FEET_BARE_INCHES.sub(lambda m: f"{decimal(m[1])} foot {decimal(m[2])}", text)
    text = _INCHES.sub(_inches, text)
    text = _INCH_WORD.sub(_inch_word, text)
    return _FEET.sub(_feet, text)


def _by(found: re.Match[str]) -> str:
    times = "=" in found.string or found.string.startswith("10^", found.end())
    return f"{found[1]}{found[2]} {'times' if times else 'by'} "


def _feet_inches(found: re.Match[str]) -> str:
    feet, inches, top, bottom = found.groups()
    part = f" and {fraction(top, bottom, article=True)}" if top else ""
    return f"{decimal(feet)} foot {decimal(inches)}{part}"


def _inches(found: re.Match[str]) -> str:
    # A straight quote after a number ends a quotation where one is open.
    if len(_QUOTE.findall(found.string, max(0, found.end() - _NEAR), found.end() - 1)) % 2 and not found[0].endswith(
        "''"
    ):
        return found[0]
    one = is_one(found[1]) or _ARTICLE.search(found.string, max(0, found.start() - 3), found.start())
    return f"{found[1]} {'inch' if one else 'inches'}"


def _feet(found: re.Match[str]) -> str:
    if re.search(r"(?:^|[\s(\"])'\w(?:(?!'\s).)*$", found.string[max(0, found.start() - _NEAR) : found.start()]):
        return found[0]
    return f"{decimal(found[1])} {'foot' if is_one(found[1]) else 'feet'}"


def _inch_word(found: re.Match[str]) -> str:
    # The dot ends the sentence too where nothing follows.
    end = "" if found.string[found.end() :].strip() else "."
    return f"{found[1]} {'inch' if is_one(found[1]) else 'inches'}{end}"


def _arc(found: re.Match[str]) -> str:
    seconds = f" {decimal(found[3])} second{'' if is_one(found[3]) else 's'}" if found[3] else ""
    minutes = f"{decimal(found[2])} minute{'' if is_one(found[2]) else 's'}"
    return f"{decimal(found[1])} degree{'' if is_one(found[1]) else 's'} {minutes}{seconds}"
