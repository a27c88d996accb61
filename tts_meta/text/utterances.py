"""`utterances`: a text of any length as phoneme strings of bounded length, each with the pause after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tts_meta.errors import TtsMetaError
from tts_meta.text.lexicon import Lexicon
from tts_meta.text.normalize import SENTENCE_PAUSE, split_long_sentence
from tts_meta.text.phonemizer import Phonemizer
from tts_meta.text.symbols import BOUNDARIES, split_symbols

MAX_SYMBOLS = 400
"""Limit of symbols per utterance. The memory of the models grows with the number of symbols."""
CHUNK_PAUSE = 0.1
"""Seconds of silence between the chunks of a long sentence."""
_MIN_CHUNK = 0.4
"""Length of the shortest chunk, relative to the limit."""


class Utterance(NamedTuple):
    """Input of one synthesis. text: words. phonemes: of the words. pause: seconds of silence after it.

    A pause before all speech has an empty text and no phonemes.
    """

    text: str
    phonemes: str
    pause: float


def utterances(phonemizer: Phonemizer, text: str, lexicon: Lexicon | None = None) -> Iterator[Utterance]:
    """Yield a text sentence by sentence; a long sentence is split into chunks, see `split_long_sentence`.

    Raises TtsMetaError as `sentences_of`, and if the text holds no word.
    """
    has_words = False
    for sentence in phonemizer.sentences(text, lexicon):
        chunks = split_long_sentence(sentence.text)
        if not chunks:
            yield Utterance("", "", sentence.pause)
        for number, chunk in enumerate(chunks, start=1):
            has_words = True
            pause = sentence.pause if number == len(chunks) else CHUNK_PAUSE
            yield from _bounded(chunk, phonemizer.phonemize_sentence(chunk, lexicon), pause)
    if not has_words:
        shown = " ".join(text.split())[:60]
        raise TtsMetaError(f'nothing to speak in "{shown}"; give at least one word')


def phoneme_utterances(text: str) -> Iterator[Utterance]:
    """Yield the lines of a text that is written in phonemes. Raises TtsMetaError if it holds no phonemes."""
    lines = [line for line in text.splitlines() if any(character.isalnum() for character in line)]
    if not lines:
        shown = " ".join(text.split())[:60]
        raise TtsMetaError(f'nothing to speak in "{shown}"; give at least one word')
    for number, line in enumerate(lines, start=1):
        yield from _bounded(line, line, 0.0 if number == len(lines) else SENTENCE_PAUSE)


def split_long_phonemes(phonemes: str, limit: int = MAX_SYMBOLS) -> list[str]:
    """Split a phoneme string at the strongest boundaries into strings of at most `limit` symbols."""
    if len(phonemes) <= limit:
        return [phonemes]
    symbols = split_symbols(phonemes)[1:-1]
    chunks: list[str] = []
    start = 0
    while len(symbols) - start > limit:
        candidates = range(start + int(_MIN_CHUNK * limit), start + limit)
        cut = min(candidates, key=lambda index: (_boundary_rank(symbols[index]), -index))
        end = cut + 1 if symbols[cut] in BOUNDARIES else start + limit
        chunks.append("".join(symbols[start:end]).strip())
        start = end
    return [*chunks, "".join(symbols[start:])]


def _bounded(text: str, phonemes: str, pause: float) -> Iterator[Utterance]:
    """Yield the phonemes of a text in utterances of at most `MAX_SYMBOLS`."""
    chunks = split_long_phonemes(phonemes)
    for number, chunk in enumerate(chunks, start=1):
        yield Utterance(text, chunk, pause if number == len(chunks) else CHUNK_PAUSE)


def _boundary_rank(symbol: str) -> int:
    """Return 0 for the strongest boundary, and the largest number for a phone."""
    return BOUNDARIES.index(symbol) if symbol in BOUNDARIES else len(BOUNDARIES)
