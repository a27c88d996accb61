"""Written forms of German: abbreviations, ordinals, dates, times, years, amounts and units."""

from __future__ import annotations

import re

from tts_meta.text.normalize.language_rules import LanguageRules, ordinal, replace_roman

_MONTHS = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August",
    "September", "Oktober", "November", "Dezember",
)  # fmt: skip  # fmt: skip
_ABBREVIATIONS = {
    "z.B.": "zum Beispiel", "d.h.": "das heißt", "u.a.": "unter anderem", "usw.": "und so weiter",
    "bzw.": "beziehungsweise", "ca.": "circa", "evtl.": "eventuell", "ggf.": "gegebenenfalls", "vgl.": "vergleiche",
    "bspw.": "beispielsweise", "inkl.": "inklusive", "exkl.": "exklusive", "zzgl.": "zuzüglich", "sog.": "sogenannte",
    "geb.": "geboren", "gest.": "gestorben", "max.": "maximal", "etc.": "et cetera", "u.U.": "unter Umständen",
    "o.ä.": "oder ähnliches", "u.ä.": "und ähnliches", "z.T.": "zum Teil", "z.Zt.": "zurzeit", "z.Z.": "zurzeit",
    "i.d.R.": "in der Regel", "s.o.": "siehe oben", "s.u.": "siehe unten", "n.Chr.": "nach Christus",
    "v.Chr.": "vor Christus", "m.E.": "meines Erachtens", "i.A.": "im Auftrag", "u.v.m.": "und vieles mehr",
    "Dr.": "Doktor", "Prof.": "Professor", "Hr.": "Herr", "Hrn.": "Herrn", "Dipl.-Ing.": "Diplomingenieur",
    "Nr.": "Nummer", "St.": "Sankt", "Str.": "Straße", "Mio.": "Millionen", "Mrd.": "Milliarden", "Tsd.": "Tausend",
    "Std.": "Stunden", "Tel.": "Telefon", "Jh.": "Jahrhundert", "Jhd.": "Jahrhundert", "Abs.": "Absatz",
    "Art.": "Artikel", "Kap.": "Kapitel", "Bd.": "Band", "Abb.": "Abbildung", "Tab.": "Tabelle",
    "EU": "E-U", "USA": "U-S-A",
    **{f"{month[:3]}.": month for month in _MONTHS if len(month) > 4}, "Sept.": "September",
}  # fmt: skip
_STREET = re.compile(r"(?<=[a-zäöüß]{3})str\.(?=\s|$|,)")
_TIME = re.compile(r"(?<![\d.:])([01]?\d|2[0-4]):([0-5]\d)(?::[0-5]\d)?(?:\s?Uhr\b)?(?![\d:])")
_DOTTED_TIME = re.compile(r"(?<![\d.:])([01]?\d|2[0-4])\.([0-5]\d)\s?Uhr\b")
_BEFORE_MONTH = re.compile(rf"(?:\b(\w+)\s)?\b(\d{{1,2}})\.\s(?={'|'.join(_MONTHS)})")
_ARTICLE = "der|die|das|dem|den|des|am|im|vom|zum|zur|beim|jede[rnms]?"
_AFTER_ARTICLE = re.compile(rf"\b((?i:{_ARTICLE}))\s(\d{{1,3}})\.\s(?=[A-ZÄÖÜa-zäöü])")
_COUNTED = "Euro|Dollar|Pfund|Yen|Kilo|Meter|Gramm|Liter"
_YEAR = re.compile(rf"(?<![\d.,:])(1[1-9]\d\d)(?=er\b|(?![\d.,]*\d|\s?%|\s(?:{_COUNTED})))")
_TAKES_N = (
    "am",
    "im",
    "vom",
    "zum",
    "zur",
    "beim",
    "dem",
    "den",
    "des",
    "ab",
    "seit",
    "bis",
    "jedem",
    "jeden",
    "einem",
)
_ENDINGS: dict[str, str] = {**dict.fromkeys(_TAKES_N, "n"), **dict.fromkeys(("der", "die", "das", "jede"), "")}
"""Endings of an ordinal by the word before it; "r" after other words."""
_FRACTIONS = {
    "1/2": "einhalb", "1/3": "ein Drittel", "2/3": "zwei Drittel", "1/4": "ein Viertel", "3/4": "drei Viertel"
}  # fmt: skip
_FRACTION = re.compile(r"(?<![\d/])(?:(\d+)\s)?(" + "|".join(map(re.escape, _FRACTIONS)) + r")(?![\d/])")


def _inflected(number: str, before: str) -> str:
    """Return an ordinal with the ending that the word before it asks for: "der dritte", "am dritten", "dritter"."""
    return ordinal(int(number), "de") + _ENDINGS.get(before.lower(), "r")


def _ordinals(text: str) -> str:
    text = _BEFORE_MONTH.sub(lambda m: f"{m[1] + ' ' if m[1] else ''}{_inflected(m[2], m[1] or '')} ", text)
    return _AFTER_ARTICLE.sub(lambda m: f"{m[1]} {_inflected(m[2], m[1])} ", text)


def _times(text: str) -> str:
    def write(match: re.Match[str]) -> str:
        return f"{int(match[1])} Uhr{'' if match[2] == '00' else f' {int(match[2])}'}"

    return _TIME.sub(write, _DOTTED_TIME.sub(write, text))


def _years(text: str) -> str:
    from num2words import num2words

    return _YEAR.sub(lambda m: num2words(int(m[1]), lang="de", to="year"), text)


def _fractions(text: str) -> str:
    text = text.replace("1 1/2", "eineinhalb")
    return _FRACTION.sub(lambda m: f"{m[1]} {_FRACTIONS[m[2]]}" if m[1] else _FRACTIONS[m[2]], text)


def _monarchs(text: str) -> str:
    return replace_roman(text, lambda value, dot: f"der {ordinal(value, 'de')}" if dot else str(value))


RULES = LanguageRules(
    abbreviations=_ABBREVIATIONS,
    final=frozenset(("usw.", "etc.", "u.v.m.", "o.ä.", "u.ä.", "v.Chr.", "n.Chr.")),
    months=_MONTHS,
    date=lambda day, month, year: f"{day}. {month} {year}",
    currencies={"€": ("Euro", "Euro"), "$": ("Dollar", "Dollar"), "£": ("Pfund", "Pfund"), "¥": ("Yen", "Yen")},
    units={
        unit: (name, name)
        for unit, name in {
            "km/h": "Kilometer pro Stunde", "m/s": "Meter pro Sekunde", "km": "Kilometer", "m": "Meter",
            "cm": "Zentimeter", "mm": "Millimeter", "kg": "Kilogramm", "g": "Gramm", "mg": "Milligramm", "l": "Liter",
            "ml": "Milliliter", "°C": "Grad Celsius", "°": "Grad", "kWh": "Kilowattstunden", "kW": "Kilowatt",
            "Hz": "Hertz", "kHz": "Kilohertz", "MHz": "Megahertz", "GHz": "Gigahertz", "MB": "Megabyte",
            "GB": "Gigabyte", "h": "Stunden", "km²": "Quadratkilometer", "m²": "Quadratmeter", "m³": "Kubikmeter",
        }.items()
    },
    between_amounts=" ",
    to="bis",
    rewrites=(lambda text: _STREET.sub("straße", text), _monarchs, _times, _ordinals, _fractions, _years),
)  # fmt: skip
