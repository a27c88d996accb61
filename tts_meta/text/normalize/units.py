"""Verbalisation of quantities: numbers with a unit, degrees, and percent."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import NUMBER, decimal, is_one

_PREFIXES = {
    "p": "pico", "n": "nano", "μ": "micro", "u": "micro", "m": "milli", "c": "centi", "d": "deci",
    "k": "kilo", "K": "kilo", "M": "mega", "G": "giga", "T": "tera", "h": "hecto",
}  # fmt: skip
# Unit symbol: name and allowed prefixes.
_SCALED: dict[str, tuple[str, str]] = {
    "m": ("meter", "pnμmcdk"), "g": ("gram", "nμmk"), "L": ("liter", "μmcdh"), "l": ("liter", "μmcd"),
    "s": ("second", "pnμm"), "W": ("watt", "μmkMGT"), "V": ("volt", "μmkM"), "A": ("amp", "μm"),
    "Hz": ("hertz", "mkKMGT"), "B": ("byte", "kKMGT"), "b": ("bit", "kMG"), "bit": ("bit", "kMG"),
    "Pa": ("pascal", "hkMG"), "J": ("joule", "mkM"), "N": ("newton", "mk"), "eV": ("electron volt", "mkMGT"),
    "Wh": ("watt hour", "kMGT"), "Ah": ("amp hour", "m"), "Ω": ("ohm", "mkM"), "mol": ("mole", "mμn"),
    "cal": ("calorie", "k"), "bar": ("bar", "m"), "F": ("farad", "pnμ"),
}  # fmt: skip
_WITHOUT_PREFIX = ("m", "g", "L", "l", "V", "W", "s", "Hz", "Pa", "eV", "Wh", "Ω", "mol", "cal", "bar")
_SPOKEN: dict[str, tuple[str, str]] = {
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "ft": ("foot", "feet"),
    "yd": ("yard", "yards"), "yds": ("yard", "yards"), "mi": ("mile", "miles"), "kph": ("kilometer per hour",
    "kilometers per hour"), "mph": ("mile per hour", "miles per hour"), "kmh": ("kilometer per hour",
    "kilometers per hour"), "mpg": ("mile per gallon", "miles per gallon"), "rpm": ("revolution per minute",
    "revolutions per minute"), "bpm": ("beat per minute", "beats per minute"), "fps": ("frame per second",
    "frames per second"), "Mbps": ("megabit per second", "megabits per second"), "Gbps": ("gigabit per second",
    "gigabits per second"), "kbps": ("kilobit per second", "kilobits per second"), "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"), "h": ("hour", "hours"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "yr": ("year", "years"), "yrs": ("year", "years"),
    "wk": ("week", "weeks"), "wks": ("week", "weeks"), "mo": ("month", "months"), "mos": ("month", "months"),
    "cc": ("cubic centimeter", "cubic centimeters"), "mcg": ("microgram", "micrograms"), "gal": ("gallon",
    "gallons"), "qt": ("quart", "quarts"), "pt": ("pint", "pints"), "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"), "doz": ("dozen", "dozen"), "ha": ("hectare", "hectares"), "dB": ("decibel",
    "decibels"), "hp": ("horsepower", "horsepower"), "psi": ("pound per square inch", "pounds per square inch"),
    "ppm": ("part per million", "parts per million"), "pct": ("percent", "percent"), "px": ("pixel", "pixels"),
    "dpi": ("dot per inch", "dots per inch"), "sq ft": ("square foot", "square feet"), "sq mi": ("square mile",
    "square miles"), "sq m": ("square meter", "square meters"), "sq km": ("square kilometer", "square kilometers"),
    "cu ft": ("cubic foot", "cubic feet"), "kB": ("kilobyte", "kilobytes"), "t": ("ton", "tons"),
}  # fmt: skip
# These are also words, so they are units only directly after a number, without a space.
_ONLY_ADJACENT = {"in": ("inch", "inches"), "t": ("ton", "tons")}


def _table() -> dict[str, tuple[str, str]]:
    units: dict[str, tuple[str, str]] = {}
    for symbol, (name, prefixes) in _SCALED.items():
        names = [(symbol, "")] if symbol in _WITHOUT_PREFIX else []
        for short, long in [*names, *((prefix + symbol, _PREFIXES[prefix]) for prefix in prefixes)]:
            units[short] = (long + name, long + name + ("" if name in ("hertz",) else "s"))
            if short.startswith("μ"):
                units["u" + short[1:]] = units[short]
    units |= _SPOKEN
    for word in ("us", "t"):
        units.pop(word, None)
    return units


_UNITS = _table()
UNIT = "|".join(re.escape(symbol) for symbol in sorted({**_UNITS, **_ONLY_ADJACENT}, key=len, reverse=True))
_POWER = {"²": "square ", "2": "square ", "³": "cubic ", "3": "cubic "}
_UNIT = re.compile(
    rf"(?<![\w.])(?P<number>-?{NUMBER})(?P<space>\s?-?)(?P<unit>{UNIT})(?P<power>[²³]|(?<=[mt])[23](?![\w.]))?"
    rf"(?:\s?/\s?(?P<per>{UNIT}|day|hour|month|year|week|person)(?P<per_power>[²³])?)?(?P<dot>\.?)(?![\w/²³])(?!\.\w)"
)
_PEOPLE = re.compile(r" (?:people|users|views|viewers|subscribers|followers|copies|downloads|jobs|homes)\b")
_PERCENT = re.compile(rf"(?<![\w.])(-?(?:{NUMBER}|\.\d+))(\s?%|\s?‰|-percent\b)")
_PERCENT_RANGE = re.compile(rf"(?<![\w.])({NUMBER})\s?%?\s?[-–]\s?({NUMBER})\s?%")
_DEGREES = re.compile(rf"(?<![\w.])(-?{NUMBER})\s?[°º˚]\s?(?:([CFK])(?!\w))?")
_KELVIN = re.compile(r"(?<![\w.])(-?(?:\d{3,}|\d+\.\d+))\sK(?=[\s.,;:!?)]|$)")


def verbalize_units(text: str) -> str:
    """Verbalise quantities: "5 km/h" to "five kilometers per hour", "50 %" to "fifty percent"."""
    text = _PERCENT_RANGE.sub(lambda m: f"{decimal(m[1])} to {decimal(m[2])} percent", text)
    text = _PERCENT.sub(_percent, text)
    text = _DEGREES.sub(_degrees, text)
    text = _KELVIN.sub(lambda m: f"{_signed(m[1])} kelvin", text)
    return _UNIT.sub(_quantity, text)


def _percent(match: re.Match[str]) -> str:
    return f"{_signed(match[1])} {'per mille' if '‰' in match[2] else 'percent'}"


def _degrees(match: re.Match[str]) -> str:
    scale = {"C": " Celsius", "F": " Fahrenheit", "K": " Kelvin"}.get(match[2] or "", "")
    after = match.string[match.end() : match.end() + 1]
    return f"{_signed(match[1])} degree{'' if is_one(match[1]) else 's'}{scale}{' ' if after.isalnum() else ''}"


def _quantity(match: re.Match[str]) -> str:
    unit, space = match["unit"], match["space"]
    if unit in _ONLY_ADJACENT and space and not match["per"]:
        return match[0]
    if unit == "m" and not space and _PEOPLE.match(match.string, match.end()):
        return f"{_signed(match['number'])} million"
    if unit == "s" and not space and (match["number"].endswith("0") or len(match["number"]) > 2):
        return match[0]  # "the 20s", "two 747s"
    singular, plural = _UNITS.get(unit) or _ONLY_ADJACENT[unit]
    is_adjective = space.endswith("-")
    words = singular if is_one(match["number"]) or is_adjective else plural
    power = _POWER.get(match["power"] or "", "")
    per = ""
    if match["per"]:
        name = (_UNITS.get(match["per"]) or _ONLY_ADJACENT.get(match["per"]) or (match["per"], ""))[0]
        squared = {"²": " squared", "³": " cubed"}.get(match["per_power"] or "", "")
        per = f" per {name}{squared}"
    dot = match["dot"] if not match.string[match.end() :].strip() or unit in _NEVER_DOTTED else ""
    return f"{_signed(match['number'])} {power}{words}{per}{dot}"


_NEVER_DOTTED = {"m", "km", "cm", "mm", "kg", "g", "mg", "kB", "MB", "GB", "TB", "Hz", "kHz", "MHz", "GHz", "W", "V"}


def _signed(written: str) -> str:
    return f"minus {decimal(written[1:])}" if written.startswith("-") else decimal(written)


def unit_names(symbol: str) -> tuple[str, str] | None:
    """Return singular and plural of a unit symbol; None if it is not a unit."""
    return _UNITS.get(symbol)
