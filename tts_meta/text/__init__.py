"""Text front end: normalisation and phonemes (`Phonemizer`), and phonemes to symbol ids (`SymbolTable`)."""

from tts_meta.text.lexicon import Lexicon
from tts_meta.text.normalize import normalize
from tts_meta.text.phonemizer import HibariPhonemizer, Phonemizer, load_phonemizer
from tts_meta.text.symbols import BOUNDARIES, SymbolKinds, SymbolTable, split_symbols
from tts_meta.text.utterances import Utterance, phoneme_utterances, utterances

__all__ = [
    "BOUNDARIES",
    "HibariPhonemizer",
    "Lexicon",
    "Phonemizer",
    "SymbolKinds",
    "SymbolTable",
    "Utterance",
    "load_phonemizer",
    "normalize",
    "phoneme_utterances",
    "split_symbols",
    "utterances",
]
