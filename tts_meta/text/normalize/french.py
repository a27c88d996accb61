"""Written forms of French: abbreviations, ordinals, centuries, monarchs, dates, amounts and units."""

from __future__ import annotations

import re

from tts_meta.text.normalize.language_rules import LanguageRules, ordinal, replace_roman, roman_value

_ABBREVIATIONS = {
    "M.": "monsieur", "MM.": "messieurs", "Mme": "madame", "Mmes": "mesdames", "Mlle": "mademoiselle", "Dr": "docteur",
    "Dr.": "docteur", "Pr": "professeur", "Pr.": "professeur", "Me": "maître", "St": "saint", "Ste": "sainte",
    "etc.": "et cetera", "p. ex.": "par exemple", "c.-à-d.": "c'est-à-dire", "av. J.-C.": "avant Jésus-Christ",
    "apr. J.-C.": "après Jésus-Christ", "n°": "numéro", "env.": "environ", "tél.": "téléphone", "art.": "article",
    "chap.": "chapitre", "vol.": "volume", "av.": "avenue", "bd": "boulevard", "max.": "maximum", "min.": "minimum",
    "UE": "Union européenne",
}  # fmt: skip
_MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août",
    "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip
_ORDINAL = re.compile(r"(?<![\d.,])(\d{1,3})(er|re|e|ème|nd|nde)\b")
_CENTURY = re.compile(r"\b([IVX]+)(er|e|ème)\b")
_FEMININE_FIRST = {"er": "premier", "re": "première"}


def _ordinals(text: str) -> str:
    text = _CENTURY.sub(lambda m: ordinal(roman_value(m[1]), "fr"), text)
    return _ORDINAL.sub(lambda m: (_FEMININE_FIRST if m[1] == "1" else {}).get(m[2]) or ordinal(int(m[1]), "fr"), text)


def _monarchs(text: str) -> str:
    return replace_roman(text, lambda value, dot: f"{value}{dot}")


def _plural(name: str) -> tuple[str, str]:
    return name, f"{name}s"


RULES = LanguageRules(
    abbreviations=_ABBREVIATIONS,
    final=frozenset(("etc.", "av. J.-C.".replace(" ", ""), "apr. J.-C.".replace(" ", ""))),
    months=_MONTHS,
    date=lambda day, month, year: f"{'1er' if day == 1 else day} {month} {year}",
    currencies={"€": _plural("euro"), "$": _plural("dollar"), "£": _plural("livre"), "¥": _plural("yen")},
    units={
        "km/h": ("kilomètre par heure", "kilomètres par heure"), "km": _plural("kilomètre"), "m": _plural("mètre"),
        "cm": _plural("centimètre"), "mm": _plural("millimètre"), "kg": _plural("kilo"), "g": _plural("gramme"),
        "mg": _plural("milligramme"), "l": _plural("litre"), "ml": _plural("millilitre"),
        "°C": ("degré Celsius", "degrés Celsius"), "°": _plural("degré"), "Mo": ("mégaoctet", "mégaoctets"),
        "Go": ("gigaoctet", "gigaoctets"), "m²": ("mètre carré", "mètres carrés"),
        "km²": ("kilomètre carré", "kilomètres carrés"),
    },
    between_amounts=" ",
    to="à",
    rewrites=(_ordinals, _monarchs),
)  # fmt: skip
