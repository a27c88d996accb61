"""Text normalisation: written text to words, before every phonemizer, for texts to speak and for transcripts.

`pipeline` lists the steps. Each module verbalises one class of written forms, such as dates or currency.
"""

from tts_meta.text.normalize.emoji import omitted_emoji
from tts_meta.text.normalize.pipeline import SENTENCE_PAUSE, Sentence, normalize, normalize_sentence, sentences_of
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
