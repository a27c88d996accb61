"""`Phonemizer`: the interface from text to phonemes, and `HibariPhonemizer` for American English."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from tts_meta.errors import TtsMetaError
from tts_meta.text.interjections import interjection_phonemes, shorten_elongated
from tts_meta.text.lexicon import Lexicon, with_possessive
from tts_meta.text.normalize import Sentence, sentences_of

_VOWELS = "AIOWYiuæɑɔəɛɜɪʊʌᵊᵻɐ"
_MISPLACED_STRESS = re.compile(f"[ˈˌ](?![{_VOWELS}])")
_CORRECTIONS = {"cetera": "sˈɛTəɹə"}
"""Phonemes of frequent words that are not in the dictionary of hibari and that it predicts wrong."""
_WORD = re.compile(r"[^\W\d_]+")
_ELONGATED = re.compile(r"([^\W\d_])\1\1|^[^aeiouy]{2,}$", re.IGNORECASE)
_DOUBLE_LETTER = re.compile(r"(.)\1")
_LINK = re.compile(r"\[([^\]]*)\]\(/([^)]*)/\)(['’]s\b)?")
_END = re.compile(r"[.!?…][\"'”’)]*$")


class Phonemizer(Protocol):
    """Text to phonemes. The name is stored in every model that is trained on its output."""

    name: str

    def alphabet(self, texts: Iterable[str] = ()) -> list[str]:
        """Return the symbols of a base that is trained on these texts, without boundaries, in a fixed order."""
        ...

    def sentences(self, text: str, lexicon: Lexicon | None = None) -> Iterator[Sentence]:
        """Yield the normalised sentences of a text of any length; see `sentences_of`."""
        ...

    def phonemize_sentence(self, sentence: str, lexicon: Lexicon | None = None) -> str:
        """Return the phonemes of one normalised sentence, as `sentences` yields it."""
        ...

    def phonemize(self, text: str, lexicon: Lexicon | None = None) -> str:
        """Return the phonemes of a text, with spaces between words and with punctuation."""
        ...


class HibariPhonemizer:
    """Phonemes of American English by `hibari-tts`, which also distinguishes heteronyms.

    The symbols are those of misaki: one character per phone, diphthongs A I O W Y, and the stress marks ˈ and ˌ before
    the vowel. A word in letters that are not Latin, such as Chinese ones, raises TtsMetaError. The message names the
    word, its letters and the sentence.
    """

    name = "hibari"

    def __init__(self) -> None:
        from hibari.g2p import G2P

        self._g2p = G2P()
        self._letters: frozenset[str] | None = None

    def alphabet(self, texts: Iterable[str] = ()) -> list[str]:
        """Return every symbol that `phonemize` may return, whatever the texts."""
        consonants = "bdfhjklmnpstTvwzðŋɡɹɾʃʒθʤʧʔ"
        return [stress + vowel for vowel in _VOWELS for stress in ("", "ˈ", "ˌ")] + list(consonants)

    def sentences(self, text: str, lexicon: Lexicon | None = None) -> Iterator[Sentence]:
        return sentences_of(text, "en", None if lexicon is None else lexicon.respell)

    def phonemize(self, text: str, lexicon: Lexicon | None = None) -> str:
        parts = (self.phonemize_sentence(sentence.text, lexicon) for sentence in self.sentences(text, lexicon))
        return " ".join(part for part in parts if part)

    def phonemize_sentence(self, sentence: str, lexicon: Lexicon | None = None) -> str:
        text = sentence if lexicon is None else lexicon.pronounce(sentence, _marked)
        text = _replace_outside_links(text, self._mark_interjections)
        text = _LINK.sub(lambda m: f"[{m[1]}](/{with_possessive(m[2]) if m[3] else m[2]}/)", text)
        # The text is already normalised. hibari would normalise "no." to "number" and "Sat." to a day.
        # The phonemes that hibari predicts may hold two stress marks in a row, or one before a consonant.
        phonemes = _MISPLACED_STRESS.sub("", self._g2p(text, normalize_text=False))
        end = _END.search(sentence)
        # hibari drops the full stop after an abbreviation at the end of a sentence.
        return phonemes + end[0][0] if end and not _END.search(phonemes) else phonemes

    def _mark_interjections(self, text: str) -> str:
        """Return the text with phonemes for interjections, and with letters that hibari supports."""
        return _WORD.sub(self._word, text)

    def _word(self, match: re.Match[str]) -> str:
        word = match[0]
        if word in _CORRECTIONS:
            return _marked(word, _CORRECTIONS[word])
        if _ELONGATED.search(word) and match.string[match.end() : match.end() + 1] not in ("'", "-"):
            # Words in capitals are spelled, such as PST and WWW, unless they are elongated, such as SHH and NOOO.
            is_spelled = word.isupper() and (not _DOUBLE_LETTER.search(word) or len(set(word)) == 1)
            phonemes = interjection_phonemes(word)
            if phonemes is not None and (not is_spelled or len(word) > 3):
                return _marked(word, phonemes)
            word = word if is_spelled else shorten_elongated(word, self._is_in_dictionary)
        return word if word.isascii() else self._with_supported_letters(word)

    def _is_in_dictionary(self, word: str) -> bool:
        return word.lower() in self._g2p.lexicon.golds or word.lower() in self._g2p.lexicon.silvers

    def _with_supported_letters(self, word: str) -> str:
        """Replace letters that hibari would skip: "Łódź" becomes "Lódź"."""
        if self._is_in_dictionary(word):
            return word
        if self._letters is None:
            self._letters = frozenset(self._g2p.oov.cin)
        return "".join(letter if letter in self._letters else _latin(letter) for letter in word)


def _latin(letter: str) -> str:
    from anyascii import anyascii

    return anyascii(letter)


def _marked(word: str, phonemes: str) -> str:
    """Return a word with its phonemes in the notation of hibari."""
    return f"[{word}](/{phonemes}/)"


def _replace_outside_links(text: str, replace: Callable[[str], str]) -> str:
    """Apply `replace` to the text outside words that have phonemes."""
    parts, position = [], 0
    for link in _LINK.finditer(text):
        parts += [replace(text[position : link.start()]), link[0]]
        position = link.end()
    return "".join([*parts, replace(text[position:])])


PHONEMIZERS: dict[str, Callable[[], Phonemizer]] = {"hibari": HibariPhonemizer}


def load_phonemizer(name: str, known: Collection[str] | None = None) -> Phonemizer:
    """Return a phonemizer by its name: `hibari`, or `espeak:CODE` for another language (extra `multilingual`).

    known: symbols of a base, to which the phonemes of eSpeak are restricted. Raises TtsMetaError if the name is unknown
    (the message lists the names) or the extra is not installed.
    """
    if name.startswith("espeak:"):
        from tts_meta.text.espeak import EspeakPhonemizer

        return EspeakPhonemizer(name.removeprefix("espeak:"), known)
    if name not in PHONEMIZERS:
        names = ", ".join([*sorted(PHONEMIZERS), "espeak:CODE"])
        raise TtsMetaError(f"unknown phonemizer '{name}'; use one of: {names}")
    return PHONEMIZERS[name]()
