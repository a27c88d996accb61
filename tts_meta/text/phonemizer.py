"""Written text to phoneme strings, one per sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tts_meta.errors import TtsMetaError


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

    Phonemes are misaki's: one character a phone, diphthongs A I O W Y, stress marks ˈ and ˌ before the vowel.
    """

    name = "hibari"

    def __init__(self) -> None:
        from hibari.g2p import G2P

        self._g2p = G2P()

    def alphabet(self) -> list[str]:
        vowels = "AIOWYiuæɑɔəɛɜɪʊʌᵊᵻɐ"
        consonants = "bdfhjklmnpstTvwzðŋɡɹɾʃʒθʤʧʔ"
        return [stress + vowel for vowel in vowels for stress in ("", "ˈ", "ˌ")] + list(consonants)

    def sentences(self, text: str) -> list[str]:
        from hibari import Hibari

        return [" ".join(sentence.split()) for sentence in Hibari.split_sentences(text)]

    def phonemize(self, text: str) -> str:
        return " ".join(part for part in (self._g2p(sentence) for sentence in self.sentences(text)) if part)


PHONEMIZERS: dict[str, Callable[[], Phonemizer]] = {"hibari": HibariPhonemizer}


def load_phonemizer(name: str) -> Phonemizer:
    """Return the phonemizer of that name. Raises TtsMetaError listing the names there are."""
    if name not in PHONEMIZERS:
        raise TtsMetaError(f"no phonemizer is called '{name}'; there are: {', '.join(sorted(PHONEMIZERS))}")
    return PHONEMIZERS[name]()
