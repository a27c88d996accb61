"""A reference aligner without pocketsphinx, for the miniature run of recipes/librispeech_mini/alignment.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recipes.librispeech_mini.alignment_boundaries import Phone, Word

PHONES = {letter: frozenset({letter.upper()}) for letter in "bdf"} | {"a": frozenset({"AE"})}
"""Phones of the CMU dictionary for letters of the tones."""


class EvenSphinx:
    """In place of pocketsphinx, which the tests do not need: every letter is a phone, and all have the same length."""

    def missing_words(self, words: Sequence[str]) -> list[str]:
        return []

    def align(self, samples: Any, rate: int, words: Sequence[str]) -> list[Word]:
        each, phones = len(samples) / rate / sum(map(len, words)), list[Word]()
        for word in words:
            start = sum(map(len, phones))
            times = [each * number for number in range(start, start + len(word))]
            names = [PHONES.get(letter, frozenset()) for letter in word]
            phones.append([Phone(name, time, time + each) for name, time in zip(names, times, strict=True)])
        return phones
