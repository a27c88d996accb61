"""Verbalisation of Roman numerals after words such as "Chapter" and after names of monarchs."""

from __future__ import annotations

import re

from tts_meta.text.normalize.number_words import cardinal, ordinal

_COUNTED = (
    "Chapter chapter Part part Act act Scene scene Section section Volume volume Vol Book book Phase phase Article "
    "article Mark Type type Level level Stage stage Class class Grade grade Apollo Gemini Fantasy Episode Round round "
    "Rocky Figure figure Table table Appendix Canto Verse Title Form form Unit Lesson Column column Plate Number number"
)
_NAMED = (
    "Henry Louis Edward George William Charles James Richard Elizabeth Napoleon Pius Benedict Leo Paul Ramses "
    "Frederick Philip Alexander Nicholas Peter Catherine Ivan Umberto Emmanuel Gustav Christian Ferdinand Innocent "
    "Clement Gregory Boniface Urban Sixtus Julius Francis Joseph Leopold Otto Rudolf Maximilian Albert Alfonso Haakon "
    "Harald Olaf Mary Robert David Darius Xerxes Ptolemy Cleopatra Justinian Theodosius Constantine Mehmed "
    "Selim Murad Suleiman Wilhelm Friedrich Karl Carl Juan Felipe Pedro Manuel Victor Eric Erik Valdemar Casimir "
    "Sigismund"
)
_NUMERAL = r"(?=[IVXLC]+\b)C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})(?<=[IVXLC])"
_WAR = re.compile(rf"\b(World War|Super Bowl|Final Fantasy) ({_NUMERAL})\b(?!['’]\w)")
_COUNT = re.compile(rf"\b({'|'.join(_COUNTED.split())})\.? ({_NUMERAL})\b(?!['’][a-z])(?!\.\w)")
_CAPITALS = re.compile(
    rf"\b(CHAPTER|PART|ACT|SCENE|SECTION|VOLUME|BOOK|ARTICLE|CANTO) ({_NUMERAL})\b(?=\s*(?:[.,:;—-]|$))"
)
_NAME = re.compile(rf"\b({'|'.join(_NAMED.split())}) ({_NUMERAL})\b(?!['’][a-rt-z])(?!\.\w)")
_ANY = re.compile(r" [IVXLC]+\b")
_ONE = re.compile(r"\s*(?:[.,:;!?)—–-]|$)|'s\b| (?:of|died|reigned|ruled|became)\b")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def verbalize_roman_numerals(text: str) -> str:
    """Verbalise Roman numerals: "Chapter IV" to "Chapter four", "Henry VIII" to "Henry the eighth"."""
    if not _ANY.search(text):
        return text
    text = _CAPITALS.sub(_count, _WAR.sub(_count, text))
    text = _COUNT.sub(_count, text)
    return _NAME.sub(lambda m: m[0] if _is_pronoun(m) else f"{m[1]} the {ordinal(_value(m[2]))}", text)


def _count(match: re.Match[str]) -> str:
    return match[0] if _is_pronoun(match) else f"{match[1]} {cardinal(_value(match[2]))}"


def _is_pronoun(match: re.Match[str]) -> bool:
    return match[2] == "I" and not _ONE.match(match.string, match.end())


def _value(numeral: str) -> str:
    values = [_VALUES[letter] for letter in numeral]
    signed = (-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
    return str(sum(signed))
