"""`SymbolTable`: phoneme strings to symbol ids, with one symbol per phone and one per word boundary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError

START, END = "^", "$"
# The strongest boundary comes first. Between two words only the strongest is kept.
BOUNDARIES: tuple[str, ...] = (".", "?", "!", "…", ";", ":", "—", ",", " ")
_AS_BOUNDARY: dict[str, str] = {
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
_MIN_PAUSE, _MIN_COMMA = 0.1, 0.05
"""Seconds. A space that lasts `_MIN_PAUSE` or longer is a pause. A comma shorter than `_MIN_COMMA` is not."""
# Vowels of the IPA, and the letters of hibari for diphthongs and reduced vowels.
_VOWELS = frozenset("iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝAIOWYᵊᵻ")
_STRESS = re.compile(r"[ˈˌ]?.", re.DOTALL)


def split_symbols(phonemes: str) -> list[str]:
    """Split a phoneme string into symbols. A stress mark and its vowel are one symbol; each boundary is one symbol.

    `"jˈu, wɪl."` gives `["^", "j", "ˈu", ",", "w", "ɪ", "l", ".", "$"]`. Silence before and after the speech
    belongs to `^` and `$`. A pause belongs to its boundary.
    """
    symbols = [START]
    written_symbols: list[str] = _STRESS.findall(" ".join(phonemes.split()))
    for written in written_symbols:
        symbol = _AS_BOUNDARY.get(written, written)
        if symbol not in BOUNDARIES:
            symbols.append(symbol)
        elif symbols[-1] not in BOUNDARIES:
            if symbols[-1] != START:
                symbols.append(symbol)
        elif BOUNDARIES.index(symbol) < BOUNDARIES.index(symbols[-1]):
            symbols[-1] = symbol
    if symbols[-1] == " ":
        symbols.pop()
    return [*symbols, END]


class SymbolKinds(NamedTuple):
    """Bool masks `(V,)`. silent: symbols of a possible pause, which may have no frame. vowel: vowels."""

    silent: Tensor
    vowel: Tensor


class SymbolTable:
    """The symbols of a model. Id 0 is padding. The table is saved with every model as `symbols.json`."""

    def __init__(self, symbols: Sequence[str]) -> None:
        if len(set(symbols)) != len(symbols):
            raise TtsMetaError("the symbol table holds a symbol twice; rebuild it from the phonemizer's alphabet")
        self.symbols = tuple(symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols, start=1)}

    @classmethod
    def from_alphabet(cls, alphabet: Sequence[str]) -> SymbolTable:
        """Return a table of the sentence marks, the boundaries and the alphabet of a phonemizer, in this order."""
        return cls([START, END, *BOUNDARIES, *alphabet])

    def __len__(self) -> int:
        """Return V, the number of rows of an embedding, including padding."""
        return len(self.symbols) + 1

    def encode(self, phonemes: str, sentence: str | None = None) -> Tensor:
        """Return the ids of the symbols, int64 `(N,)`.

        sentence: text for the error message. Raises TtsMetaError for an unknown symbol, and for a text without phones.
        """
        shown = sentence if sentence is not None else phonemes
        symbols = split_symbols(phonemes)
        for symbol in symbols[1:-1]:
            if symbol not in self._ids or symbol in (START, END):
                raise TtsMetaError(
                    f"unknown symbol '{symbol}' in \"{shown}\"; the symbols of the model are: {' '.join(self.symbols)}"
                )
        if all(symbol in BOUNDARIES or symbol in (START, END) for symbol in symbols):
            raise TtsMetaError(f'nothing to speak in "{shown}"; give at least one word')
        return torch.tensor([self._ids[symbol] for symbol in symbols], dtype=torch.int64)

    def decode(self, tokens: Tensor) -> list[str]:
        """Return the symbols of ids, int64 `(N,)`, without padding."""
        return [self.symbols[index - 1] for index in tokens.tolist() if index > 0]

    def mark_pauses(self, tokens: Tensor, durations: Tensor, frame_seconds: float) -> Tensor:
        """Return `tokens (N,)` with commas adjusted to the pauses of the speaker.

        durations: frames of each token, `(N,)`. A space with a pause becomes a comma; a comma without a pause becomes a
        space. As a result, the model learns pauses from texts without punctuation, and every comma gives a pause.
        """
        space, comma = self._ids[" "], self._ids[","]
        seconds = durations * frame_seconds
        tokens = torch.where((tokens == space) & (seconds >= _MIN_PAUSE), comma, tokens)
        return torch.where((tokens == comma) & (seconds < _MIN_COMMA), space, tokens)

    def kinds(self) -> SymbolKinds:
        """Return which symbols are silent and which are vowels, for the aligner; padding is neither."""
        silent = {START, END, *BOUNDARIES}
        return SymbolKinds(
            torch.tensor([False] + [symbol in silent for symbol in self.symbols]),
            torch.tensor([False] + [symbol[-1] in _VOWELS for symbol in self.symbols]),
        )
