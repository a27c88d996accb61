"""Written text to words: the one step before every phonemizer, for texts to speak and for transcripts."""

from tts_meta.text.normalize.lengths import MOST_CHARACTERS, cut_sentence, cut_words
from tts_meta.text.normalize.pipeline import SENTENCE_PAUSE, Sentence, normalize, normalize_sentence, sentences_of
from tts_meta.text.normalize.signs import left_out

__all__ = [
    "MOST_CHARACTERS",
    "SENTENCE_PAUSE",
    "Sentence",
    "cut_sentence",
    "cut_words",
    "left_out",
    "normalize",
    "normalize_sentence",
    "sentences_of",
]
