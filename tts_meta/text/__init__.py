"""Text to symbols: normalisation and phonemes by a `Phonemizer`, numbers by a `SymbolTable`."""

from tts_meta.text.phonemizer import HibariPhonemizer, Phonemizer, load_phonemizer
from tts_meta.text.symbols import BOUNDARIES, SymbolKinds, SymbolTable, split_symbols

__all__ = [
    "BOUNDARIES",
    "HibariPhonemizer",
    "Phonemizer",
    "SymbolKinds",
    "SymbolTable",
    "load_phonemizer",
    "split_symbols",
]
