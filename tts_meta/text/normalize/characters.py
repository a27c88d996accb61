"""Unicode normalisation: composed letters, and one character each for space, line end, apostrophe, quote and dash."""

from __future__ import annotations

import re
import unicodedata

_LINE_ENDS = re.compile("\r\n?|[\v\f\x85\u2028]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")
_TRANSLATE = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2212\ufe63\uff0d\u2043\u058a", "-"),  # hyphens, minus
        **dict.fromkeys("\u2012\u2013", "–"),
        **dict.fromkeys("\u2015\u2e3a\u2e3b\ufe58\u301c\u3030", "—"),
        **dict.fromkeys("\u2018\u2019\u201b\u02bb\u02bc\u02bd\uff07\ua78c\u02b9\u02c8\u2032\u2035\u055a", "'"),
        **dict.fromkeys("\u201e\u201f\u00ab\u00bb\u301d\u301e\u301f\uff02\u2033\u2036\u02ba\u02dd", '"'),
        **dict.fromkeys("\u2039\u203a\u201a", "'"),
        **dict.fromkeys("\u2044\u2215\uff0f", "/"),
        **dict.fromkeys("\u02da\u00ba", "°"),
        **dict.fromkeys("\u00b5\u03bc", "μ"),
        **dict.fromkeys("\u2126", "Ω"),
        **dict.fromkeys("。｡", ". "),
        **dict.fromkeys("、，､", ", "),
        "\u2024": ".",
        "\u2025": "..",
        "\u22ef": "…",
        "\u2116": "№",
        "\u2103": "°C",
        "\u2109": "°F",
        "\u2122": "",
        "\u2120": "",
        "\u00ae": "",
        "\u00aa": "a",
    }
)
_ORDINAL_MARKS = "ºª"
_WITH_ORDINALS = {code: text for code, text in _TRANSLATE.items() if chr(code) not in _ORDINAL_MARKS}
_KEPT_COMPATIBLE = frozenset("…²³½¼¾№¨¯´¸")
_IN_WORD_APOSTROPHE = re.compile(r"(?<=[^\W\d_])[`´](?=[^\W\d_])|(?<=s)´(?=\s)")
_TYPED_APOSTROPHE = re.compile(r"(?<=[a-z])(?:''|\")(?=(?:t|s|re|ve|ll|d|m)\b)")
_EMOTICON = re.compile(r"(?<!\S)[:;=]['’]?-?[)(DPp|](?!\w)")
_EN_DASH = re.compile(r"(?<=[^\W\d_])–(?=[^\W\d_])")
_ELLIPSIS = re.compile(r" ?\.(?: \.){2,}")
_QUOTES = re.compile(r"``|(?<!\d)''")
_DASHES = re.compile(r"--+(?!>)")
_SPACED_HYPHEN = re.compile(r" [-–] (?=[^\W\d_\"'(])|(?<=[^\W\d_.,;:!?\"')]) [-–] ")
_FRACTIONS = re.compile(r"(\d?)([½¼¾⅐-⅞])")
_POWER_DIGITS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_ASCII_SPECIAL = re.compile("[\r\v\f\x00-\x08\x0e-\x1f\x7f`]")


def clean_characters(text: str, first: bool = True, ordinals: bool = False) -> str:
    """Return the text in NFC, without invisible characters, and with one character for each purpose.

    Line ends become "\\n", spaces of any kind " ", characters that look like an apostrophe "'", and long dashes "—".
    Compatibility letters (ligatures, full width, mathematical) become ordinary letters. first: False if the text
    already holds the noncharacters that this package uses as marks. ordinals: "º" and "ª" are marks of ordinals, as in
    Spanish; otherwise they are the sign of degrees and the letter "a".
    """
    if text.isascii():
        if not _ASCII_SPECIAL.search(text):
            return text
        return _ascii(text)
    if first:
        text = _NONCHARACTERS.sub("", text)
    text = unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", text).replace("\u2029", "\n\n"))
    text = _IN_WORD_APOSTROPHE.sub("'", text)
    text = _FRACTIONS.sub(_fraction, text)
    text = _POWER_DIGITS.sub(_power, text)
    kept = _ORDINAL_MARKS if ordinals else ""
    text = "".join(
        [
            character if character < "\x80" or character in kept else _replace_character(character)
            for character in text.translate(_WITH_ORDINALS if ordinals else _TRANSLATE)
        ]
    )
    return _ascii(unicodedata.normalize("NFC", text))


def _ascii(text: str) -> str:
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    return _IN_WORD_APOSTROPHE.sub("'", text)


def join_punctuation(text: str) -> str:
    """Replace punctuation of several characters: "--" and " - " by a dash, "``" by a quote, ". . ." by an ellipsis."""
    text = _ELLIPSIS.sub("…", text) if ". ." in text else text
    text = _EN_DASH.sub("-", text) if "–" in text else text
    if "--" in text or " - " in text or " – " in text:
        text = _SPACED_HYPHEN.sub(" — ", _DASHES.sub("—", text))
    text = _TYPED_APOSTROPHE.sub("'", text) if "''" in text or '"' in text else text
    text = _EMOTICON.sub(" ", text)
    return _QUOTES.sub('"', text) if "``" in text or "''" in text else text


def _replace_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F or 0xE0100 <= ord(character) <= 0xE01EF:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if character in _KEPT_COMPATIBLE:
        return character
    if unicodedata.decomposition(character).startswith("<"):
        return unicodedata.normalize("NFKC", character)
    return character


def _fraction(match: re.Match[str]) -> str:
    written = unicodedata.normalize("NFKC", match[2]).replace("\u2044", "/")
    return f"{match[1]} {written}" if match[1] else written


def _power(match: re.Match[str]) -> str:
    """Replace superscripts, except squares and cubes, which units need: "10⁵" becomes "10^5"."""
    before = match.string[match.start() - 1 : match.start()]
    if match[0] in ("²", "³") and (before.isalnum() or before == ")"):
        return match[0]
    written = match[0].translate(_POWERS)
    return f"^{written}" if before.isdecimal() or before == ")" else f" {written}" if before.isalpha() else written
