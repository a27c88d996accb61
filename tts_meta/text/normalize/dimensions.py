"""Verbalisation of feet and inches, dimensions such as "5 x 3", and angles in degrees, minutes and seconds."""

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
"""Number of characters before a mark in which an opening quote is searched."""


def verbalize_dimensions(text: str) -> str:
    """Verbalise dimensions: "6'2\\"" to "six foot two", "5 x 3" to "5 by 3", "2\\"" to "2 inches"."""
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


def _by(match: re.Match[str]) -> str:
    is_product = "=" in match.string or match.string.startswith("10^", match.end())
    return f"{match[1]}{match[2]} {'times' if is_product else 'by'} "


def _feet_inches(match: re.Match[str]) -> str:
    feet, inches, numerator, denominator = match.groups()
    rest = f" and {fraction(numerator, denominator, article=True)}" if numerator else ""
    return f"{decimal(feet)} foot {decimal(inches)}{rest}"


def _inches(match: re.Match[str]) -> str:
    # If a quotation is open, a straight quote after a number closes it.
    if len(_QUOTE.findall(match.string, max(0, match.end() - _NEAR), match.end() - 1)) % 2 and not match[0].endswith(
        "''"
    ):
        return match[0]
    is_singular = is_one(match[1]) or _ARTICLE.search(match.string, max(0, match.start() - 3), match.start())
    return f"{match[1]} {'inch' if is_singular else 'inches'}"


def _feet(match: re.Match[str]) -> str:
    if re.search(r"(?:^|[\s(\"])'\w(?:(?!'\s).)*$", match.string[max(0, match.start() - _NEAR) : match.start()]):
        return match[0]
    return f"{decimal(match[1])} {'foot' if is_one(match[1]) else 'feet'}"


def _inch_word(match: re.Match[str]) -> str:
    # The dot also ends the sentence if nothing follows.
    end = "" if match.string[match.end() :].strip() else "."
    return f"{match[1]} {'inch' if is_one(match[1]) else 'inches'}{end}"


def _arc(match: re.Match[str]) -> str:
    seconds = f" {decimal(match[3])} second{'' if is_one(match[3]) else 's'}" if match[3] else ""
    minutes = f"{decimal(match[2])} minute{'' if is_one(match[2]) else 's'}"
    return f"{decimal(match[1])} degree{'' if is_one(match[1]) else 's'} {minutes}{seconds}"
