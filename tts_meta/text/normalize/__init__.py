"""Written text to words: the one step before every phonemizer, for texts to speak and for transcripts."""

from tts_meta.text.normalize.pipeline import SENTENCE_PAUSE, Sentence, normalize, normalize_sentence, sentences_of
from tts_meta.text.normalize.special_characters import omitted_emoji
from tts_meta.text.normalize.splitting import MAX_CHARACTERS, split_long_sentence, split_long_words

__all__ = [
    "MAX_CHARACTERS",
    "SENTENCE_PAUSE",
    "Sentence",
    "normalize",
    "normalize_sentence",
    "omitted_emoji",
    "sentences_of",
    "split_long_sentence",
    "split_long_words",
]
