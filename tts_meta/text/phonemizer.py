"""Written text to phoneme strings, one per sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from tts_meta.errors import TtsMetaError
from tts_meta.text.interjections import interjection_phonemes, shorten_elongated
from tts_meta.text.lexicon import Lexicon, with_possessive
from tts_meta.text.normalize import Sentence, sentences_of

_VOWELS = "AIOWYiuæɑɔəɛɜɪʊʌᵊᵻɐ"
_STRAY_STRESS = re.compile(f"[ˈˌ](?![{_VOWELS}])")
_MISREAD = {"cetera": "sˈɛTəɹə"}
"""Words outside hibari's dictionary that occur often and that it guesses wrong."""
_WORD = re.compile(r"[^\W\d_]+")
_DRAWN_OUT = re.compile(r"([^\W\d_])\1\1|^[^aeiouy]{2,}$", re.IGNORECASE)
_TWICE = re.compile(r"(.)\1")
_LINK = re.compile(r"\[([^\]]*)\]\(/([^)]*)/\)(['’]s\b)?")
_END = re.compile(r"[.!?…][\"'”’)]*$")


class Phonemizer(Protocol):
    """Turns text into phonemes; the name is stored with every model trained on its output."""

    name: str

    def alphabet(self) -> list[str]:
        """Every symbol `phonemize` may emit, boundaries left out, in a fixed order."""
        ...

    def sentences(self, text: str, lexicon: Lexicon | None = None) -> Iterator[Sentence]:
        """Yield the sentences of a text of any length, normalized to words: see `sentences_of`."""
        ...

    def read(self, sentence: str, lexicon: Lexicon | None = None) -> str:
        """Phonemes of one sentence that is in words, as `sentences` yields it."""
        ...

    def phonemize(self, text: str, lexicon: Lexicon | None = None) -> str:
        """One phoneme string for the whole text, words apart by spaces, punctuation kept."""
        ...


class HibariPhonemizer:
    """American English by `hibari-tts`: numbers, money, dates and heteronyms read as a person would.

    Phonemes are misaki's: one character a phone, diphthongs A I O W Y, stress marks ˈ and ˌ before the vowel. A word in
    letters that cannot be read (Chinese, say) raises TtsMetaError naming it, its letters and the sentence.
    """

    name = "hibari"

    def __init__(self) -> None:
        from hibari.g2p import G2P

        self._g2p = G2P()
        self._letters: frozenset[str] | None = None

    def alphabet(self) -> list[str]:
        consonants = "bdfhjklmnpstTvwzðŋɡɹɾʃʒθʤʧʔ"
        return [stress + vowel for vowel in _VOWELS for stress in ("", "ˈ", "ˌ")] + list(consonants)

    def sentences(self, text: str, lexicon: Lexicon | None = None) -> Iterator[Sentence]:
        return sentences_of(text, "en", None if lexicon is None else lexicon.respell)

    def phonemize(self, text: str, lexicon: Lexicon | None = None) -> str:
        parts = (self.read(sentence.text, lexicon) for sentence in self.sentences(text, lexicon))
        return " ".join(part for part in parts if part)

    def read(self, sentence: str, lexicon: Lexicon | None = None) -> str:
        text = sentence if lexicon is None else lexicon.pronounce(sentence, _marked)
        text = _outside_links(text, self._spell)
        text = _LINK.sub(lambda m: f"[{m[1]}](/{with_possessive(m[2]) if m[3] else m[2]}/)", text)
        # The text is in words already: hibari's own normalization would read "no." as "number" and "Sat." as a day.
        # Words outside its dictionary get stray stress marks now and then: two in a row, or one before a consonant.
        phonemes = _STRAY_STRESS.sub("", self._g2p(text, normalize_text=False))
        end = _END.search(sentence)
        # The dot of an abbreviation at the end is a full stop too.
        return phonemes + end[0][0] if end and not _END.search(phonemes) else phonemes

    def _spell(self, text: str) -> str:
        """The text with interjections marked by their phonemes, and in letters that hibari knows."""
        return _WORD.sub(self._word, text)

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        if word in _MISREAD:
            return _marked(word, _MISREAD[word])
        if _DRAWN_OUT.search(word) and found.string[found.end() : found.end() + 1] not in ("'", "-"):
            # Capitals are letters to spell, such as PST and WWW, but for those drawn out, such as SHH and NOOO.
            spelled = word.isupper() and (not _TWICE.search(word) or len(set(word)) == 1)
            sound = interjection_phonemes(word)
            if sound is not None and (not spelled or len(word) > 3):
                return _marked(word, sound)
            word = word if spelled else shorten_elongated(word, self._knows)
        return word if word.isascii() else self._plain(word)

    def _knows(self, word: str) -> bool:
        return word.lower() in self._g2p.lexicon.golds or word.lower() in self._g2p.lexicon.silvers

    def _plain(self, word: str) -> str:
        """The word with letters that hibari would skip replaced: "Łódź" is "Lódź"."""
        if self._knows(word):
            return word
        if self._letters is None:
            self._letters = frozenset(self._g2p.oov.cin)
        return "".join(letter if letter in self._letters else _latin(letter) for letter in word)


def _latin(letter: str) -> str:
    from anyascii import anyascii

    return anyascii(letter)


def _marked(word: str, phonemes: str) -> str:
    """A word with its phonemes, as hibari takes them."""
    return f"[{word}](/{phonemes}/)"


def _outside_links(text: str, change: Callable[[str], str]) -> str:
    """The text changed outside words whose phonemes are given."""
    parts, position = [], 0
    for link in _LINK.finditer(text):
        parts += [change(text[position : link.start()]), link[0]]
        position = link.end()
    return "".join([*parts, change(text[position:])])


PHONEMIZERS: dict[str, Callable[[], Phonemizer]] = {"hibari": HibariPhonemizer}


def load_phonemizer(name: str) -> Phonemizer:
    """Return the phonemizer of that name: `hibari`, or `espeak:CODE` for another language (extra `multilingual`).

    Raises TtsMetaError listing the names there are, or what to install.
    """
    if name.startswith("espeak:"):
        from tts_meta.text.espeak import EspeakPhonemizer

        return EspeakPhonemizer(name.removeprefix("espeak:"))
    if name not in PHONEMIZERS:
        names = ", ".join([*sorted(PHONEMIZERS), "espeak:CODE"])
        raise TtsMetaError(f"no phonemizer is called '{name}'; there are: {names}")
    return PHONEMIZERS[name]()
