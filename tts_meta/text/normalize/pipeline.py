"""The steps of text normalisation: characters, markup, paragraphs, sentences, and the words of each sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tts_meta.corpus.languages import primary_language
from tts_meta.text.normalize.abbreviations import expand_abbreviations
from tts_meta.text.normalize.addresses import verbalize_addresses
from tts_meta.text.normalize.characters import clean_characters, join_punctuation
from tts_meta.text.normalize.currency import verbalize_currency
from tts_meta.text.normalize.dates_times import expand_ranges, verbalize_dates, verbalize_times
from tts_meta.text.normalize.dimensions import verbalize_dimensions
from tts_meta.text.normalize.emoji import remove_emoji
from tts_meta.text.normalize.fractions import verbalize_fractions
from tts_meta.text.normalize.language_rules import rules_of
from tts_meta.text.normalize.markdown import strip_markdown
from tts_meta.text.normalize.markup import PAUSE, strip_markup
from tts_meta.text.normalize.numerals import join_digit_groups, verbalize_numerals
from tts_meta.text.normalize.roman_numerals import verbalize_roman_numerals
from tts_meta.text.normalize.scripts import check_characters, check_letters, verbalize_greek
from tts_meta.text.normalize.sentences import split_sentences
from tts_meta.text.normalize.special_characters import remove_symbols, remove_unspeakable, verbalize_special_characters
from tts_meta.text.normalize.splitting import MAX_COMPOUND, split_long_words
from tts_meta.text.normalize.units import verbalize_units

SENTENCE_PAUSE, PARAGRAPH_PAUSE = 0.25, 0.5
"""Seconds of silence after a sentence, and after the last sentence of a paragraph."""
_PARAGRAPH = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_HYPHENATED_LINE = re.compile(r"(?<=[^\W\d_])-\n[ \t]*(?=[a-z])")
_DIGIT = re.compile(r"\d")
# The order matters: each step leaves the numbers of other classes, and the last step verbalises the rest.
_NUMBER_CLASSES: tuple[Callable[[str], str], ...] = (
    verbalize_times,
    verbalize_currency,
    verbalize_dates,
    verbalize_dimensions,
    verbalize_fractions,
    verbalize_units,
    verbalize_numerals,
)


class Sentence(NamedTuple):
    """Normalised sentence. pause: seconds of silence after it. A pause before the first sentence has an empty text."""

    text: str
    pause: float = SENTENCE_PAUSE


def sentences_of(text: str, language: str = "en", respell: Callable[[str], str] | None = None) -> Iterator[Sentence]:
    """Yield the normalised sentences of a text of any length; sentences without a letter or digit are skipped.

    language: a code such as "en" or "fr-fr". The rules of English apply only to English; `language_rules` has those of
    other languages, and eSpeak reads the rest. respell: function that is applied to each paragraph without its markup.
    Raises TtsMetaError for letters of a script that the language does not use, and for an invalid `<break>`.
    """
    primary = primary_language(language) or "en"
    rules = rules_of(primary)
    pending: Sentence | None = None
    requested_pause: float | None = None  # Seconds of the tags since the last sentence of the paragraph.
    for paragraph in _paragraphs(text, respell, primary):
        requested_pause = None
        for part in _parts(paragraph):
            if not isinstance(part, str):
                requested_pause = part + (requested_pause or 0.0)
                pending = Sentence(pending.text if pending else "", requested_pause)
                continue
            part = part if rules is None else rules.apply(part)
            for written in split_sentences(part, primary):
                spoken = normalize_sentence(written, primary)
                if not any(character.isalnum() for character in spoken):
                    continue
                if pending is not None:
                    yield pending
                pending, requested_pause = Sentence(spoken), None
        if pending is not None and requested_pause is None:
            pending = Sentence(pending.text, PARAGRAPH_PAUSE)
    if pending is not None and pending.text:
        yield Sentence(pending.text, requested_pause or 0.0)


def normalize(text: str, language: str = "en") -> str:
    """Return the normalised sentences of a text on one line. Raises as `sentences_of`."""
    return " ".join(sentence.text for sentence in sentences_of(text, language) if sentence.text)


def normalize_sentence(written: str, language: str = "en") -> str:
    """Return one sentence in words; language: without its region. Raises TtsMetaError for letters of another script."""
    text = written
    if language != "en":
        check_letters(text, written, language)
        return split_long_words(remove_symbols(remove_emoji(text)), MAX_COMPOUND)
    text = expand_abbreviations(expand_ranges(text))
    if _DIGIT.search(text):
        text = join_digit_groups(text)
        for verbalize in _NUMBER_CLASSES:
            text = verbalize(text)
    text = verbalize_special_characters(verbalize_greek(verbalize_roman_numerals(text)))
    check_letters(text, written)
    return split_long_words(remove_unspeakable(text))


def _paragraphs(text: str, respell: Callable[[str], str] | None, language: str) -> Iterator[str]:
    """Yield the paragraphs, each on one line and without markup."""
    check_characters(text)
    ordinals = language != "en"
    text = clean_characters(text, ordinals=ordinals)
    plain = strip_markup(text, language)
    if plain is not text:
        plain = clean_characters(plain, first=False, ordinals=ordinals)
    text = strip_markdown(plain)
    for paragraph in _PARAGRAPH.split(text):
        line = " ".join(_HYPHENATED_LINE.sub("-", paragraph).split())
        if line:
            line = join_punctuation(line)
            line = line if respell is None else respell(line)
            yield verbalize_addresses(line) if language == "en" else line


def _parts(paragraph: str) -> Iterator[str | float]:
    """Yield the texts between pauses, and the seconds of the pauses."""
    for number, part in enumerate(PAUSE.split(paragraph)):
        if number % 2:
            yield float(part) / 1000
        elif part.strip():
            yield part
