"""`LanguageRules`: written forms that eSpeak reads wrong, for each language with rules; eSpeak reads all other forms.

eSpeak reads numbers, signs and most words. It spells abbreviations, and it reads the dot of an ordinal, dates, units
and amounts sign by sign. The rules rewrite these forms to words and to numbers that eSpeak reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

Rewrite = Callable[[str], str]
_NUMBER = r"(?<![\d.,])\d{1,3}(?:[.  ]\d{3})+(?:,\d+)?(?![\d])|(?<![\d.,])\d+(?:[.,]\d+)?"
_ISO_DATE = re.compile(r"(?<![\d-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\d-])")
_NUMERIC_DATE = re.compile(r"(?<![\d/.-])(0?[1-9]|[12]\d|3[01])([/.])\s?(0?[1-9]|1[0-2])\2\s?(\d{4}|\d{2})(?![\d/])")
_RANGE = re.compile(r"(?<![\d.,/–-])(\d+(?:,\d+)?)\s?[-–]\s?(\d+(?:,\d+)?)(?![\d/–-])(?!\.\d)")
_ROMAN = re.compile(r"(?<=\b[A-ZÀ-Þ][a-zß-ÿ]{2} |[a-zß-ÿ]{3} )(?=[IVX]{2,}\b|[VX]\b)(X{0,3}(?:IX|IV|V?I{0,3}))\b(\.?)")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


@dataclass(frozen=True)
class LanguageRules:
    """Words and rules of one language.

    abbreviations: words by their written form; a space after a dot inside it is optional. final: abbreviations whose
    dot may also end a sentence. months: names, for numeric dates in the order day, month, year. date: text of a day,
    the name of a month and a year. currencies and units: singular and plural by sign. between_amounts: what is between
    the units and the hundredths of an amount. to: the word in a range. rewrites: rules of this language alone, after
    the others.
    """

    abbreviations: Mapping[str, str]
    final: frozenset[str]
    months: tuple[str, ...]
    date: Callable[[int, str, str], str]
    currencies: Mapping[str, tuple[str, str]]
    units: Mapping[str, tuple[str, str]]
    between_amounts: str
    to: str
    rewrites: tuple[Rewrite, ...] = ()
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _amount: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _sign_first: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _unit: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        signs = "".join(map(re.escape, self.currencies))
        patterns = {
            "_pattern": rf"(?<![\w.])(?:{'|'.join(map(_spaced, _longest_first(self.abbreviations)))})(?!\w)",
            "_amount": rf"({_NUMBER})\s?([{signs}])(?!\w)",
            "_sign_first": rf"([{signs}])\s?({_NUMBER})(?![.,]?\d)",
            "_unit": rf"({_NUMBER})\s?({'|'.join(map(re.escape, _longest_first(self.units)))})(?![\w/²³])",
        }
        for name, pattern in patterns.items():
            object.__setattr__(self, name, re.compile(pattern))
        words = {written.replace(" ", ""): word for written, word in self.abbreviations.items()}
        object.__setattr__(self, "_words", words)

    def apply(self, text: str) -> str:
        """Return a text of several sentences with the forms of this language in words."""
        text = self._pattern.sub(self._expand, text)
        if not any(character.isdecimal() for character in text) and not _ROMAN.search(text):
            return text
        text = _ISO_DATE.sub(lambda m: self._date(m[3], m[2], m[1]), text)
        text = _NUMERIC_DATE.sub(lambda m: self._date(m[1], m[3], m[4]), text)
        text = self._sign_first.sub(r"\2 \1", text)
        text = self._amount.sub(self._write_amount, text)
        text = self._unit.sub(lambda m: f"{m[1]} {self.units[m[2]][m[1] != '1']}", text)
        for rewrite in self.rewrites:
            text = rewrite(text)
        return _RANGE.sub(rf"\1 {self.to} \2", text)

    def _expand(self, match: re.Match[str]) -> str:
        """Return the words of an abbreviation, with a capital letter and a dot where a sentence begins and ends."""
        before, written = match.string[: match.start()].rstrip(" \"'“(¿¡"), re.sub(r"\s", "", match[0])
        after = match.string[match.end() :].lstrip("\"'”)")
        words: dict[str, str] = self._words  # pyright: ignore[reportAttributeAccessIssue]
        word = words.get(written) or words[written[0].lower() + written[1:]]
        if not before or before[-1] in ".!?…":
            word = word[0].upper() + word[1:]
        ends = written.endswith(".") and (not after or (written in self.final and re.match(r"\s+[A-ZÀ-Þ¿¡]", after)))
        return word + ("." if ends else "")

    def _date(self, day: str, month: str, year: str) -> str:
        return self.date(int(day), self.months[int(month) - 1], year)

    def _write_amount(self, match: re.Match[str]) -> str:
        number, names = match[1], self.currencies[match[2]]
        whole, comma, hundredths = number.partition(",")
        if comma and len(hundredths) == 2:
            cents = "" if hundredths == "00" else f"{self.between_amounts}{hundredths.lstrip('0')}"
            return f"{whole} {names[whole != '1']}{cents}"
        return f"{number} {names[number != '1']}"


@lru_cache
def rules_of(language: str) -> LanguageRules | None:
    """Return the rules of a language without its region; None if eSpeak reads all its forms."""
    if language == "de":
        from tts_meta.text.normalize.german import RULES
    elif language == "es":
        from tts_meta.text.normalize.spanish import RULES
    elif language == "fr":
        from tts_meta.text.normalize.french import RULES
    else:
        return None
    return RULES


def roman_value(numeral: str) -> int:
    """Return the value of a Roman numeral of the letters I, V, X, L and C."""
    values = [_VALUES[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def replace_roman(text: str, write: Callable[[int, str], str]) -> str:
    """Replace Roman numerals after a word, except a single I: "Ludwig XIV." by `write(14, ".")`."""
    return _ROMAN.sub(lambda m: write(roman_value(m[1]), m[2]), text)


def ordinal(number: int, language: str) -> str:
    """Return the ordinal of a number in words."""
    from num2words import num2words

    return num2words(number, lang=language, to="ordinal")


def _longest_first(words: Mapping[str, object]) -> list[str]:
    return sorted(words, key=lambda word: (-len(word), word))


def _spaced(abbreviation: str) -> str:
    """Return the pattern of an abbreviation: spaces after dots are optional, the first letter may be a capital."""
    first, rest = abbreviation[0], abbreviation[1:].replace(" ", "")
    initial = f"[{first}{first.upper()}]" if first.islower() else re.escape(first)
    return initial + re.sub(r"\\\.(?=.)", r"\\.\\s?", re.escape(rest))
