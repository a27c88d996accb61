"""The order of the steps: characters, markup, paragraphs, sentences, and the words of each sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tts_meta.text.normalize.abbreviations import expand_abbreviations
from tts_meta.text.normalize.addresses import verbalize_addresses
from tts_meta.text.normalize.characters import clean_characters, join_punctuation
from tts_meta.text.normalize.currency import verbalize_currency
from tts_meta.text.normalize.dates_times import expand_ranges, verbalize_dates, verbalize_times
from tts_meta.text.normalize.dimensions import verbalize_dimensions
from tts_meta.text.normalize.fractions import verbalize_fractions
from tts_meta.text.normalize.markdown import strip_markdown
from tts_meta.text.normalize.markup import PAUSE, strip_markup
from tts_meta.text.normalize.numerals import join_digit_groups, verbalize_numerals
from tts_meta.text.normalize.roman_numerals import verbalize_roman_numerals
from tts_meta.text.normalize.scripts import check_characters, check_letters, verbalize_greek
from tts_meta.text.normalize.sentences import split_sentences
from tts_meta.text.normalize.special_characters import remove_emoji, remove_unspeakable, verbalize_special_characters
from tts_meta.text.normalize.splitting import split_long_words
from tts_meta.text.normalize.units import verbalize_units

SENTENCE_PAUSE, PARAGRAPH_PAUSE = 0.25, 0.5
"""Seconds of silence after a sentence, and after the last sentence of a paragraph."""
_PARAGRAPH = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_HYPHENATED_LINE = re.compile(r"(?<=[^\W\d_])-\n[ \t]*(?=[a-z])")
_DIGIT = re.compile(r"\d")


class Sentence(NamedTuple):
    """A sentence in words, and the seconds of silence after it. A pause before all sentences has an empty text."""

    text: str
    pause: float = SENTENCE_PAUSE


def sentences_of(text: str, language: str = "en", respell: Callable[[str], str] | None = None) -> Iterator[Sentence]:
    """Yield the sentences of a text of any length; sentences without a letter or digit are left out.

    `language` is a code such as "en" or "fr-fr"; numbers, abbreviations and signs are read for English, other languages
    leave them to their phonemizer. `respell` changes words of the written text beforehand. Raises TtsMetaError at a
    sentence that has letters that English cannot read, and for a `<break>` whose time is none.
    """
    waiting: Sentence | None = None
    asked: float | None = None  # seconds of the tags since the last sentence of the paragraph
    for paragraph in _paragraphs(text, respell):
        asked = None
        for part in _parts(paragraph):
            if not isinstance(part, str):
                asked = part + (asked or 0.0)
                waiting = Sentence(waiting.text if waiting else "", asked)
                continue
            for written in split_sentences(part, _short(language)):
                spoken = normalize_sentence(written, language)
                if not any(character.isalnum() for character in spoken):
                    continue
                if waiting is not None:
                    yield waiting
                waiting, asked = Sentence(spoken), None
        if waiting is not None and asked is None:
            waiting = Sentence(waiting.text, PARAGRAPH_PAUSE)
    if waiting is not None and waiting.text:
        yield Sentence(waiting.text, asked or 0.0)


def normalize(text: str, language: str = "en") -> str:
    """All sentences of a text in words, on one line. Errors are those of `sentences_of`."""
    return " ".join(sentence.text for sentence in sentences_of(text, language) if sentence.text)


def normalize_sentence(written: str, language: str = "en") -> str:
    """One sentence in words. Raises TtsMetaError where it has letters that cannot be read."""
    text = written
    if _short(language) != "en":
        return split_long_words(remove_emoji(text))
    text = expand_abbreviations(expand_ranges(text))
    if _DIGIT.search(text):
        text = join_digit_groups(text)
        for read in (
            verbalize_times,
            verbalize_currency,
            verbalize_dates,
            verbalize_dimensions,
            verbalize_fractions,
            verbalize_units,
            verbalize_numerals,
        ):
            text = read(text)
    text = verbalize_special_characters(verbalize_greek(verbalize_roman_numerals(text)))
    check_letters(text, written)
    return split_long_words(remove_unspeakable(text))


def _paragraphs(text: str, respell: Callable[[str], str] | None) -> Iterator[str]:
    """Paragraphs on one line each, without markup."""
    check_characters(text)
    text = clean_characters(text)
    plain = strip_markup(text)
    if plain is not text:
        plain = clean_characters(plain, first=False)
    text = strip_markdown(plain)
    for paragraph in _PARAGRAPH.split(text):
        line = " ".join(_HYPHENATED_LINE.sub("-", paragraph).split())
        if line:
            line = join_punctuation(line)
            yield verbalize_addresses(line if respell is None else respell(line))


def _parts(paragraph: str) -> Iterator[str | float]:
    """What stands between pauses, and their seconds."""
    for number, part in enumerate(PAUSE.split(paragraph)):
        if number % 2:
            yield float(part) / 1000
        elif part.strip():
            yield part


def _short(language: str) -> str:
    return language.split("-")[0]
