"""A text of any length as phoneme strings of bounded length, each with the pause after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tts_meta.errors import TtsMetaError
from tts_meta.text.lexicon import Lexicon
from tts_meta.text.normalize import SENTENCE_PAUSE, split_long_sentence
from tts_meta.text.phonemizer import Phonemizer
from tts_meta.text.symbols import BOUNDARIES, split_symbols

MAX_SYMBOLS = 400
"""Most symbols that are spoken at once; memory of the models grows with them."""
CHUNK_PAUSE = 0.1
"""Seconds of silence within a sentence that is spoken in pieces."""
_EARLIEST = 0.4


class Utterance(NamedTuple):
    """What is spoken at once: its words, its phonemes, and the seconds of silence after it.

    A pause before all speech has neither words nor phonemes.
    """

    text: str
    phonemes: str
    pause: float


def utterances(phonemizer: Phonemizer, text: str, lexicon: Lexicon | None = None) -> Iterator[Utterance]:
    """Yield a text sentence by sentence; a long sentence is cut at clauses, else at conjunctions, else at words.

    Raises TtsMetaError as `sentences_of`, and where nothing of the text can be spoken.
    """
    spoken = False
    for sentence in phonemizer.sentences(text, lexicon):
        pieces = split_long_sentence(sentence.text)
        if not pieces:
            yield Utterance("", "", sentence.pause)
        for number, piece in enumerate(pieces, start=1):
            spoken = True
            pause = sentence.pause if number == len(pieces) else CHUNK_PAUSE
            yield from _bounded(piece, phonemizer.read(piece, lexicon), pause)
    if not spoken:
        shown = " ".join(text.split())[:60]
        raise TtsMetaError(f'nothing to speak in "{shown}"; give at least one word')


def phoneme_utterances(text: str) -> Iterator[Utterance]:
    """Yield the lines of a text that is written in phonemes. Raises TtsMetaError where there are none."""
    lines = [line for line in text.splitlines() if any(character.isalnum() for character in line)]
    if not lines:
        shown = " ".join(text.split())[:60]
        raise TtsMetaError(f'nothing to speak in "{shown}"; give at least one word')
    for number, line in enumerate(lines, start=1):
        yield from _bounded(line, line, 0.0 if number == len(lines) else SENTENCE_PAUSE)


def split_long_phonemes(phonemes: str, most: int = MAX_SYMBOLS) -> list[str]:
    """Phoneme strings of at most `most` symbols each, cut at the strongest boundary there is."""
    if len(phonemes) <= most:
        return [phonemes]
    symbols = split_symbols(phonemes)[1:-1]
    pieces: list[str] = []
    start = 0
    while len(symbols) - start > most:
        places = range(start + int(_EARLIEST * most), start + most)
        at = min(places, key=lambda place: (_strength(symbols[place]), -place))
        end = at + 1 if symbols[at] in BOUNDARIES else start + most
        pieces.append("".join(symbols[start:end]).strip())
        start = end
    return [*pieces, "".join(symbols[start:])]


def _bounded(text: str, phonemes: str, pause: float) -> Iterator[Utterance]:
    pieces = split_long_phonemes(phonemes)
    for number, piece in enumerate(pieces, start=1):
        yield Utterance(text, piece, pause if number == len(pieces) else CHUNK_PAUSE)


def _strength(symbol: str) -> int:
    return BOUNDARIES.index(symbol) if symbol in BOUNDARIES else len(BOUNDARIES)
