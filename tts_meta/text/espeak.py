"""`EspeakPhonemizer`: phonemes of every language of eSpeak NG (extra `multilingual`)."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from tts_meta.corpus.languages import primary_language
from tts_meta.errors import TtsMetaError
from tts_meta.text.lexicon import Lexicon
from tts_meta.text.nearest_sounds import nearest_symbol
from tts_meta.text.normalize import Sentence, sentences_of
from tts_meta.text.symbols import BOUNDARIES, END, START, split_symbols

_DEFAULT_CODES = {"fr": "fr-fr", "zh": "cmn", "no": "nb", "en": "en-us"}
"""Codes of eSpeak for languages that it has only with a region or under another code."""
_CLAUSE_MARK = re.compile(
    # A colon, comma or full stop between characters belongs to the word: "14:30", "3,5", "1.000", "a.b.".
    r"""\s*(?:[;!?…—()\[\]{}"“”„«»¿¡]|[:,](?=[\s"'“”)\]]|$)|[.](?=["'“”)\]]*$)|(?<=[^\W\d_]{5})[.](?=\s))+\s*"""
)
_ROUND = str.maketrans("{}", "()")
_FLAG = re.compile(r"\([a-z]{2,3}(?:-[\w-]+)?\)", re.IGNORECASE)
_LONE_STRESS = re.compile(r"[ˈˌ]+(?=[ˈˌ]|[^\w]|\d|$)")
_RARE = 1e-5
"""A symbol with a smaller share of the symbols of a corpus is not in the symbol table of its base."""


class EspeakPhonemizer:
    """Phonemes in the International Phonetic Alphabet by eSpeak NG, through `phonemizer-fork`.

    language: a code of eSpeak, such as `fr-fr`. A stress mark and the character after it are one symbol; length marks
    and other modifiers are separate symbols. known: symbols of a base; a sound that the base lacks is replaced by a
    similar one (`nearest_sounds`), and by nothing if there is none. eSpeak reads a foreign word with the voice of its
    language and marks the switch with flags, "(en)wiːkɛnd(fr)"; the flags are removed. Raises TtsMetaError if the extra
    is not installed or the language is unknown.
    """

    def __init__(self, language: str, known: Collection[str] | None = None) -> None:
        backend = _backend_class()
        if language not in backend.supported_languages():
            raise TtsMetaError(f"eSpeak has no language '{language}'; use a code such as fr-fr, de or es")
        logger = logging.getLogger("tts_meta.espeak")
        logger.setLevel(logging.ERROR)  # the backend reports each switch of the language
        self.name = f"espeak:{language}"
        self.language = language
        self._known = None if known is None else frozenset(known)
        self._nearest: dict[str, str] = {}
        # The marks of clauses are kept here. The backend would also split numbers at their points and commas.
        self._backend = backend(
            language,
            punctuation_marks=re.compile("(?!)"),
            with_stress=True,
            language_switch="keep-flags",
            logger=logger,
        )

    def alphabet(self, texts: Iterable[str] = ()) -> list[str]:
        """Return the symbols of the phonemes of these texts, sorted, without boundaries and without rare ones."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split_symbols(self.phonemize(text))[1:-1])
        total = counts.total()
        return sorted(symbol for symbol, count in counts.items() if symbol not in BOUNDARIES and count >= _RARE * total)

    def sentences(self, text: str, lexicon: Lexicon | None = None) -> Iterator[Sentence]:
        return sentences_of(text, self.language, None if lexicon is None else lexicon.respell)

    def phonemize(self, text: str, lexicon: Lexicon | None = None) -> str:
        parts = (self.phonemize_sentence(sentence.text, lexicon) for sentence in self.sentences(text, lexicon))
        return " ".join(part for part in parts if part)

    def phonemize_sentence(self, sentence: str, lexicon: Lexicon | None = None) -> str:
        pronunciations: list[str] = []

        def mark(word: str, phonemes: str) -> str:
            pronunciations.append(phonemes)
            return "\x00"

        parts = (sentence if lexicon is None else lexicon.pronounce(sentence, mark)).split("\x00")
        first, *others = [self._phonemes(part) for part in parts]
        return first + "".join(given + part for given, part in zip(pronunciations, others, strict=True))

    def _phonemes(self, text: str) -> str:
        """Return the phonemes of a text and its marks of clauses; a space before or after the text is kept."""
        if not text.strip():
            return text
        written, position = [], 0
        for mark in _CLAUSE_MARK.finditer(text):
            written += [self._clause(text[position : mark.start()]), mark[0].translate(_ROUND)]
            position = mark.end()
        phonemes = "".join([*written, self._clause(text[position:])]).strip()
        return f"{' ' if text[0] == ' ' else ''}{phonemes}{' ' if text[-1] == ' ' else ''}"

    def _clause(self, text: str) -> str:
        """Return the phonemes of a text without marks of clauses; an empty text if eSpeak reads nothing."""
        if not any(character.isalnum() or character in "&%§€$£°+" for character in text):
            return ""
        phonemes = "".join(self._backend.phonemize([text.strip()], strip=True)[:1])
        phonemes = _FLAG.sub("", phonemes).replace("-", " ")
        phonemes = _LONE_STRESS.sub("", "".join(filter(_is_phonetic, phonemes)))
        return " ".join(self._known_sounds(phonemes).split())

    def _known_sounds(self, phonemes: str) -> str:
        if self._known is None:
            return phonemes
        symbols = split_symbols(phonemes)[1:-1]
        return "".join(symbol if symbol == " " else self._known_sound(symbol) for symbol in symbols)

    def _known_sound(self, symbol: str) -> str:
        assert self._known is not None
        if symbol not in self._nearest:
            self._nearest[symbol] = nearest_symbol(symbol, self._known)
        return self._nearest[symbol]


def espeak_code(code: str, primary: str) -> str:
    """Return the code of eSpeak for a language; primary: the language of `code` without its region.

    Raises TtsMetaError if eSpeak does not have it or is not installed.
    """
    languages = _backend_class().supported_languages()
    for candidate in (code.strip().lower().replace("_", "-"), _DEFAULT_CODES.get(primary, primary)):
        if candidate in languages and primary_language(candidate) == primary:
            return candidate
    raise TtsMetaError(f"eSpeak has no language '{code}'; use a code such as fr, de or es")


def _backend_class() -> Any:
    """Return the class of phonemizer's backend, which is set to the library of `espeakng-loader`."""
    try:
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
    except ImportError as error:
        raise TtsMetaError("eSpeak is not installed; install it with: pip install '.[multilingual]'") from error
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakBackend


def _is_phonetic(character: str) -> bool:
    """Return whether a character belongs to phonemes: a letter, a modifier, a tone number or a space."""
    return character == " " or (
        unicodedata.category(character) in ("Ll", "Lo", "Lm", "Mn", "Sk", "Nd") and character not in (START, END)
    )
