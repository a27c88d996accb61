"""Quantities: units after a number, degrees, percent."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import NUMBER, decimal, is_one

_PREFIXES = {
    "p": "pico", "n": "nano", "μ": "micro", "u": "micro", "m": "milli", "c": "centi", "d": "deci",
    "k": "kilo", "K": "kilo", "M": "mega", "G": "giga", "T": "tera", "h": "hecto",
}  # fmt: skip
# Symbol: name, prefixes that it takes.
_SCALED: dict[str, tuple[str, str]] = {
    "m": ("meter", "pnμmcdk"), "g": ("gram", "nμmk"), "L": ("liter", "μmcdh"), "l": ("liter", "μmcd"),
    "s": ("second", "pnμm"), "W": ("watt", "μmkMGT"), "V": ("volt", "μmkM"), "A": ("amp", "μm"),
    "Hz": ("hertz", "mkKMGT"), "B": ("byte", "kKMGT"), "b": ("bit", "kMG"), "bit": ("bit", "kMG"),
    "Pa": ("pascal", "hkMG"), "J": ("joule", "mkM"), "N": ("newton", "mk"), "eV": ("electron volt", "mkMGT"),
    "Wh": ("watt hour", "kMGT"), "Ah": ("amp hour", "m"), "Ω": ("ohm", "mkM"), "mol": ("mole", "mμn"),
    "cal": ("calorie", "k"), "bar": ("bar", "m"), "F": ("farad", "pnμ"),
}  # fmt: skip
_BARE = ("m", "g", "L", "l", "V", "W", "s", "Hz", "Pa", "eV", "Wh", "Ω", "mol", "cal", "bar")
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
# These are words too: a number and a space before them are not enough.
_ONLY_CLOSE = {"in": ("inch", "inches"), "t": ("ton", "tons")}


def _table() -> dict[str, tuple[str, str]]:
    units: dict[str, tuple[str, str]] = {}
    for sign, (name, prefixes) in _SCALED.items():
        names = [(sign, "")] if sign in _BARE else []
        for short, long in [*names, *((prefix + sign, _PREFIXES[prefix]) for prefix in prefixes)]:
            units[short] = (long + name, long + name + ("" if name in ("hertz",) else "s"))
            if short.startswith("μ"):
                units["u" + short[1:]] = units[short]
    units |= _SPOKEN
    for word in ("us", "t"):
        units.pop(word, None)
    return units


_UNITS = _table()
UNIT = "|".join(re.escape(sign) for sign in sorted({**_UNITS, **_ONLY_CLOSE}, key=len, reverse=True))
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
    """ "5 km/h" is "five kilometers per hour", "50 %" "fifty percent", "20 °C" "twenty degrees Celsius"."""
    text = _PERCENT_RANGE.sub(lambda m: f"{decimal(m[1])} to {decimal(m[2])} percent", text)
    text = _PERCENT.sub(_percent, text)
    text = _DEGREES.sub(_degrees, text)
    text = _KELVIN.sub(lambda m: f"{_signed(m[1])} kelvin", text)
    return _UNIT.sub(_quantity, text)


def _percent(found: re.Match[str]) -> str:
    return f"{_signed(found[1])} {'per mille' if '‰' in found[2] else 'percent'}"


def _degrees(found: re.Match[str]) -> str:
    scale = {"C": " Celsius", "F": " Fahrenheit", "K": " Kelvin"}.get(found[2] or "", "")
    after = found.string[found.end() : found.end() + 1]
    return f"{_signed(found[1])} degree{'' if is_one(found[1]) else 's'}{scale}{' ' if after.isalnum() else ''}"


def _quantity(found: re.Match[str]) -> str:
    unit, space = found["unit"], found["space"]
    if unit in _ONLY_CLOSE and space and not found["per"]:
        return found[0]
    if unit == "m" and not space and _PEOPLE.match(found.string, found.end()):
        return f"{_signed(found['number'])} million"
    if unit == "s" and not space and (found["number"].endswith("0") or len(found["number"]) > 2):
        return found[0]  # "the 20s", "two 747s"
    one, several = _UNITS.get(unit) or _ONLY_CLOSE[unit]
    adjective = space.endswith("-")
    words = one if is_one(found["number"]) or adjective else several
    power = _POWER.get(found["power"] or "", "")
    per = ""
    if found["per"]:
        name = (_UNITS.get(found["per"]) or _ONLY_CLOSE.get(found["per"]) or (found["per"], ""))[0]
        squared = {"²": " squared", "³": " cubed"}.get(found["per_power"] or "", "")
        per = f" per {name}{squared}"
    dot = found["dot"] if not found.string[found.end() :].strip() or unit in _NEVER_DOTTED else ""
    return f"{_signed(found['number'])} {power}{words}{per}{dot}"


_NEVER_DOTTED = {"m", "km", "cm", "mm", "kg", "g", "mg", "kB", "MB", "GB", "TB", "Hz", "kHz", "MHz", "GHz", "W", "V"}


def _signed(written: str) -> str:
    return f"minus {decimal(written[1:])}" if written.startswith("-") else decimal(written)


def unit_names(sign: str) -> tuple[str, str] | None:
    """Singular and plural of a unit's symbol; None where it is none."""
    return _UNITS.get(sign)
