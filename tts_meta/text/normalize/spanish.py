"""Written forms of Spanish: abbreviations, ordinals, dates, amounts and units."""

from __future__ import annotations

import re

from tts_meta.text.normalize.language_rules import LanguageRules

_ABBREVIATIONS = {
    "Sr.": "señor", "Sra.": "señora", "Srta.": "señorita", "Sres.": "señores", "Dr.": "doctor", "Dra.": "doctora",
    "D.": "don", "Dña.": "doña", "Prof.": "profesor", "Ud.": "usted", "Uds.": "ustedes", "Vd.": "usted",
    "Sto.": "santo", "Sta.": "santa", "Avda.": "avenida", "Av.": "avenida", "c/": "calle", "pág.": "página",
    "págs.": "páginas", "núm.": "número", "n.º": "número", "nº": "número", "n°": "número", "p.ej.": "por ejemplo",
    "EE.UU.": "Estados Unidos", "UE": "Unión Europea", "etc.": "etcétera", "a.C.": "antes de Cristo",
    "d.C.": "después de Cristo", "tel.": "teléfono", "aprox.": "aproximadamente", "máx.": "máximo", "mín.": "mínimo",
    "vol.": "volumen", "cap.": "capítulo", "art.": "artículo", "fig.": "figura", "km/h": "kilómetros por hora",
}  # fmt: skip
_MONTHS = (
    "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto",
    "septiembre", "octubre", "noviembre", "diciembre",
)  # fmt: skip
_SHORT_ORDINAL = re.compile(r"(?<![\d.,])(\d+)\.?(er|[ºª])(?!\w)")
_HOURS = re.compile(r"(?<=\d:\d\d)\s?h\b")
_FIRST = {"1": "primer", "3": "tercer"}


def _ordinals(text: str) -> str:
    """Write "1.er" and "3.er" in words, and "2.º" without the dot, which eSpeak reads."""
    return _SHORT_ORDINAL.sub(lambda m: _FIRST.get(m[1], m[1]) if m[2] == "er" else f"{m[1]}{m[2]}", text)


def _plural(name: str, plural: str | None = None) -> tuple[str, str]:
    return name, plural or f"{name}s"


RULES = LanguageRules(
    abbreviations=_ABBREVIATIONS,
    final=frozenset(("etc.", "EE.UU.", "a.C.", "d.C.")),
    months=_MONTHS,
    date=lambda day, month, year: f"{'primero' if day == 1 else day} de {month} de {year}",
    currencies={"€": _plural("euro"), "$": ("dólar", "dólares"), "£": _plural("libra"), "¥": ("yen", "yenes")},
    units={
        "km": _plural("kilómetro"), "m": _plural("metro"), "cm": _plural("centímetro"), "mm": _plural("milímetro"),
        "kg": _plural("kilo"), "g": _plural("gramo"), "mg": _plural("miligramo"), "l": _plural("litro"),
        "ml": _plural("mililitro"), "°C": ("grado Celsius", "grados Celsius"), "°": _plural("grado"),
        "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"), "m²": ("metro cuadrado", "metros cuadrados"),
        "km²": ("kilómetro cuadrado", "kilómetros cuadrados"),
    },
    between_amounts=" con ",
    to="a",
    rewrites=(lambda text: _HOURS.sub(" horas", text), _ordinals),
)  # fmt: skip
