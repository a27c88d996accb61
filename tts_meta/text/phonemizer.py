"""Written text to phoneme strings, one per sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from tts_meta.errors import TtsMetaError

_VOWELS = "AIOWYiuæɑɔəɛɜɪʊʌᵊᵻɐ"
_STRAY_STRESS = re.compile(f"[ˈˌ](?![{_VOWELS}])")
_LAST_LATIN = "ɏ"


class Phonemizer(Protocol):
    """Turns text into phonemes; the name is stored with every model trained on its output."""

    name: str

    def alphabet(self) -> list[str]:
        """Every symbol `phonemize` may emit, boundaries left out, in a fixed order."""
        ...

    def sentences(self, text: str) -> list[str]:
        """Split text at sentence ends, keeping every word."""
        ...

    def phonemize(self, text: str) -> str:
        """One phoneme string for the whole text, words apart by spaces, punctuation kept."""
        ...


class HibariPhonemizer:
    """American English by `hibari-tts`: numbers, money, dates and heteronyms read as a person would.

    Phonemes are misaki's: one character a phone, diphthongs A I O W Y, stress marks ˈ and ˌ before the vowel. A word in
    letters that cannot be read (Chinese, say) raises TtsMetaError naming it and the sentence.
    """

    name = "hibari"

    def __init__(self) -> None:
        from hibari.g2p import G2P

        self._g2p = G2P()

    def alphabet(self) -> list[str]:
        consonants = "bdfhjklmnpstTvwzðŋɡɹɾʃʒθʤʧʔ"
        return [stress + vowel for vowel in _VOWELS for stress in ("", "ˈ", "ˌ")] + list(consonants)

    def sentences(self, text: str) -> list[str]:
        from hibari import Hibari

        return [" ".join(sentence.split()) for sentence in Hibari.split_sentences(text)]

    def phonemize(self, text: str) -> str:
        return " ".join(part for part in map(self._read, self.sentences(text)) if part)

    def _read(self, sentence: str) -> str:
        for word in sentence.split():
            if any(letter.isalpha() and letter > _LAST_LATIN for letter in word) and not self._g2p(word):
                raise TtsMetaError(f"cannot read '{word}' in \"{sentence}\"; write it in English letters")
        # Words outside its dictionary get stray stress marks now and then: two in a row, or one before a consonant.
        return _STRAY_STRESS.sub("", self._g2p(sentence))


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
