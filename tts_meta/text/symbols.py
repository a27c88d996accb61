"""Phoneme strings to numbers: one symbol a phone, one symbol a word boundary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError

START, END = "^", "$"
# Strongest first: between two words only the strongest of what stands there is kept.
BOUNDARIES: tuple[str, ...] = (".", "?", "!", "…", ";", ":", "—", ",", " ")
_SAME_PAUSE: dict[str, str] = {
    "(": ",",
    ")": ",",
    "[": ",",
    "]": ",",
    "–": "—",
    "-": " ",
    '"': " ",
    "“": " ",
    "”": " ",
    "«": " ",
    "»": " ",
    "„": " ",
    "¿": " ",
    "¡": " ",
    "。": ".",
    "、": ",",
    "，": ",",
    "？": "?",
    "！": "!",
}
_PAUSE_SECONDS, _NO_PAUSE_SECONDS = 0.1, 0.05
"""From so long on a space is heard as a pause; a shorter comma is not. Between them the writer is believed."""
# Of the IPA, and the letters that hibari writes diphthongs and reduced vowels with.
_VOWELS = frozenset("iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝAIOWYᵊᵻ")
_STRESS = re.compile(r"[ˈˌ]?.", re.DOTALL)


def split_symbols(phonemes: str) -> list[str]:
    """Split a phoneme string into symbols: stress mark and vowel together, each boundary as one symbol.

    `"jˈu, wɪl."` gives `["^", "j", "ˈu", ",", "w", "ɪ", "l", ".", "$"]`. Silence before and after speech
    belongs to `^` and `$`, pauses to the boundary they stand at.
    """
    symbols = [START]
    pieces: list[str] = _STRESS.findall(" ".join(phonemes.split()))
    for written in pieces:
        piece = _SAME_PAUSE.get(written, written)
        if piece not in BOUNDARIES:
            symbols.append(piece)
        elif symbols[-1] not in BOUNDARIES:
            if symbols[-1] != START:
                symbols.append(piece)
        elif BOUNDARIES.index(piece) < BOUNDARIES.index(symbols[-1]):
            symbols[-1] = piece
    if symbols[-1] == " ":
        symbols.pop()
    return [*symbols, END]


class SymbolKinds(NamedTuple):
    """Bool `(V,)` each: symbols that stand for a possible pause and may take no frame at all; vowels."""

    silent: Tensor
    vowel: Tensor


class SymbolTable:
    """The symbols a model knows; number 0 is padding. Saved with every model as `symbols.json`."""

    def __init__(self, symbols: Sequence[str]) -> None:
        if len(set(symbols)) != len(symbols):
            raise TtsMetaError("the symbol table names a symbol twice; rebuild it from the phonemizer's alphabet")
        self.symbols = tuple(symbols)
        self._ids = {symbol: number for number, symbol in enumerate(self.symbols, start=1)}

    @classmethod
    def from_alphabet(cls, alphabet: Sequence[str]) -> SymbolTable:
        """Sentence marks and boundaries first, then the phonemizer's alphabet."""
        return cls([START, END, *BOUNDARIES, *alphabet])

    def __len__(self) -> int:
        """Rows V that an embedding needs, padding included."""
        return len(self.symbols) + 1

    def encode(self, phonemes: str, sentence: str | None = None) -> Tensor:
        """Return the symbols' numbers, int64 `(N,)`, at least one phone among them.

        Raises TtsMetaError naming the unknown symbol and the sentence, or that nothing can be spoken.
        """
        shown = sentence if sentence is not None else phonemes
        symbols = split_symbols(phonemes)
        for symbol in symbols[1:-1]:
            if symbol not in self._ids or symbol in (START, END):
                raise TtsMetaError(
                    f"unknown symbol '{symbol}' in \"{shown}\"; the model knows: {' '.join(self.symbols)}"
                )
        if all(symbol in BOUNDARIES or symbol in (START, END) for symbol in symbols):
            raise TtsMetaError(f'nothing to speak in "{shown}"; give at least one word')
        return torch.tensor([self._ids[symbol] for symbol in symbols], dtype=torch.int64)

    def decode(self, tokens: Tensor) -> list[str]:
        """Return the symbols of int64 `(N,)`, padding left out."""
        return [self.symbols[number - 1] for number in tokens.tolist() if number > 0]

    def mark_pauses(self, tokens: Tensor, durations: Tensor, frame_seconds: float) -> Tensor:
        """Return `tokens (N,)` punctuated as they were said, for which `durations (N,)`, frames, are those heard.

        A space that was a pause becomes a comma, a comma that was none a space: so a text without punctuation teaches
        where pauses are, and a comma always makes one.
        """
        space, comma = self._ids[" "], self._ids[","]
        seconds = durations * frame_seconds
        tokens = torch.where((tokens == space) & (seconds >= _PAUSE_SECONDS), comma, tokens)
        return torch.where((tokens == comma) & (seconds < _NO_PAUSE_SECONDS), space, tokens)

    def kinds(self) -> SymbolKinds:
        """Return what the aligner knows of symbols beforehand; padding is of no kind."""
        silent = {START, END, *BOUNDARIES}
        return SymbolKinds(
            torch.tensor([False] + [symbol in silent for symbol in self.symbols]),
            torch.tensor([False] + [symbol[-1] in _VOWELS for symbol in self.symbols]),
        )
