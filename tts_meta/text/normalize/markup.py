"""Removal of HTML and SSML: entities become characters, tags are removed, and pauses and aliases are kept."""

from __future__ import annotations

import html
import re

from tts_meta.corpus.languages import primary_language
from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.text.normalize.number_words import cardinal, ordinal, spell_digits

MAX_PAUSE = 10.0
"""Limit of the pause of one tag in seconds; a longer pause is shortened to it."""
PAUSE = re.compile("\ufdd0(\\d+)\ufdd1")
"""A pause in milliseconds, between two noncharacters that cleaned text never contains."""
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 1.0, "x-strong": 1.5}
_TIME = re.compile(r"\+?(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s*(ms|s)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ATTRIBUTE = r"""\s+[\w:.-]{1,64}\s*=\s*(?:"[^"<]*"|'[^'<]*'|[^\s"'=<>`]+)"""
_FLAGS = r"\s+(?:disabled|checked|hidden|controls|autoplay|async|defer|open|selected|required|muted|loop)"
_TAG = re.compile(rf"<(/?)([A-Za-z][\w:-]{{0,40}})((?:{_ATTRIBUTE}|{_FLAGS})*)\s*(/?)>")
_NAMED_ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+))""")
_DECLARATION = re.compile(r"<(?:!(?:DOCTYPE|doctype)\b|\?xml\b)[^<>]{0,1000}>")
_HIDDEN = ("script", "style", "metadata", "template")
_BLOCKS = (
    "p div h1 h2 h3 h4 h5 h6 li ul ol dl dt dd table thead tbody tr blockquote article section header footer main nav "
    "aside figure figcaption pre form hr title head body html speak"
)
_INLINE = (
    "a abbr acronym address b bdi bdo big br button caption center cite code data del dfn em font i img input ins kbd "
    "label legend link mark meta option q rp rt ruby s samp script select small span strike strong style sub summary "
    "sup td th time tt u var video wbr details break emphasis prosody voice audio lang phoneme say-as w token metadata "
    "desc lookup lexicon template svg iframe canvas textarea"
)
_PARAGRAPHS = frozenset(_BLOCKS.split())
_KNOWN = _PARAGRAPHS | frozenset(_INLINE.split())


def strip_markup(text: str, language: str = "en") -> str:
    """Return the text without tags, and with characters instead of entities.

    `<break>` becomes a pause that `PAUSE` matches, `<sub alias>` its alias, and `<say-as>` the requested reading. A
    block element becomes a paragraph. language: of the base, without its region; outside English `<say-as>` leaves
    numbers in digits. Raises TtsMetaError if the time or the strength of a `<break>` is invalid, or `<speak>` names
    another language.
    """
    if "<" in text:
        text = _DECLARATION.sub("", _without_hidden(text))
        text = _without_tags(text, language)
    for _ in range(2):
        if "&" not in text:
            break
        text = _ENTITY.sub(lambda m: html.unescape(m[0]), text)
    return text


def _without_hidden(text: str) -> str:
    """Return the text without comments and without the content of scripts, styles, metadata and templates."""
    for opening, closing in [("<!--", "-->"), *((f"<{name}", f"</{name}>") for name in _HIDDEN)]:
        kept, position, lower = [], 0, text.lower()
        while (start := lower.find(opening, position)) >= 0 and (end := lower.find(closing, start)) >= 0:
            kept.append(text[position:start])
            position = end + len(closing)
        text = "".join([*kept, text[position:]])
    return text


def _without_tags(text: str, language: str) -> str:
    parts: list[str] = []
    position = 0
    inside_ssml = "<speak" in text
    replaced: tuple[str, int, str] | None = None  # element, index in `parts`, text for its content
    for tag in _TAG.finditer(text):
        is_closing, name, attributes, is_empty = tag[1] == "/", tag[2].lower(), tag[3], tag[4] == "/"
        if name not in _KNOWN and not (is_closing or attributes or is_empty or ":" in name or f"</{tag[2]}>" in text):
            continue
        parts.append(text[position : tag.start()])
        position = tag.end()
        if replaced is not None and is_closing and name == replaced[0]:
            content = "".join(parts[replaced[1] :])
            del parts[replaced[1] :]
            parts.append(_say_as(content, replaced[2], language) if name == "say-as" else replaced[2])
            replaced = None
        elif name == "speak" and not is_closing:
            _check_language(_attributes(attributes).get("xml:lang"), language)
        elif name == "break":
            parts.append(_pause(_attributes(attributes)))
        elif name in ("sub", "say-as") and not is_closing and replaced is None:
            values = _attributes(attributes)
            replacement = values.get("alias") if name == "sub" else values.get("interpret-as", "")
            if replacement is not None:
                replaced = (name, len(parts), replacement)
        elif name in _PARAGRAPHS or (name == "s" and inside_ssml):
            parts.append("\n\n")
        elif name == "br":
            parts.append("\n")
        elif name in ("td", "th"):
            parts.append(", " if is_closing else "")
        elif name == "img":
            parts.append(_attributes(attributes).get("alt", ""))
    return "".join([*parts, text[position:]])


def _attributes(written: str) -> dict[str, str]:
    attributes = _NAMED_ATTRIBUTE.findall(written)
    return {name.lower(): html.unescape(double or single or bare) for name, double, single, bare in attributes}


def _pause(attributes: dict[str, str]) -> str:
    """Return the mark of a `<break>`. Raises TtsMetaError for an invalid strength or time."""
    seconds = _STRENGTHS["medium"]
    if "strength" in attributes:
        strength = attributes["strength"].strip().lower()
        if strength not in _STRENGTHS:
            raise TtsMetaError(f'<break strength="{strength}">: unknown strength; use {", ".join(_STRENGTHS)}')
        seconds = _STRENGTHS[strength]
    if "time" in attributes:
        time = _TIME.fullmatch(attributes["time"].strip())
        if time is None:
            raise TtsMetaError(f'<break time="{attributes["time"][:40]}">: not a time; write 500ms or 1.5s')
        seconds = float(time[1]) / (1000 if time[2].lower() == "ms" else 1)
    return f"\ufdd0{round(1000 * min(seconds, MAX_PAUSE))}\ufdd1"


def _check_language(written: str | None, language: str) -> None:
    """Raise TtsMetaError if `<speak xml:lang>` names another language than that of the base."""
    found = primary_language(written)
    if found is not None and found != language:
        raise TtsMetaError(
            f"<speak xml:lang=\"{excerpt(written or '')}\">: the base reads '{language}'; give a text in '{language}', "
            f"or a base for '{found}'"
        )


def _say_as(content: str, kind: str, language: str) -> str:
    """Return the content of `<say-as>` in the reading `kind`; unchanged if the kind is unknown."""
    kind, plain = kind.strip().lower(), content.strip()
    number = plain.replace(",", "").replace(" ", "")
    digits = spell_digits if language == "en" else " ".join  # other phonemizers read digits
    if kind in ("characters", "spell-out", "verbatim", "letters"):
        spelled = (digits(c) if c.isdecimal() else f"{c.upper()}." for c in plain if c.isalnum())
        return " ".join(spelled)
    if kind in ("digits", "telephone", "digit"):
        groups = re.findall(r"\d+", plain)
        return ", ".join(digits(group) for group in groups) or content
    if language != "en":
        return content
    if kind in ("cardinal", "number") and number.isdecimal():
        return cardinal(number)
    if kind == "ordinal" and re.fullmatch(r"\d+(?:st|nd|rd|th)?", number):
        return ordinal(re.sub(r"\D", "", number))
    return content
