"""Interjections such as "Shh!" and "Brrr!", and elongated words such as "Nooooo!"."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

# Phonemes of American English in the symbols of `HibariPhonemizer`.
_INTERJECTIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), phonemes)
    for pattern, phonemes in (
        (r"s+h{2,}|s{2,}h+|sh", "ʃʃ"),
        (r"b+r{2,}", "bɹˈɜɹ"),
        (r"g+r{2,}", "ɡɹˈɜɹ"),
        (r"p+f{1,}t+", "pfft"),
        (r"p+f{2,}", "pff"),
        (r"p+s+t+", "pst"),
        (r"h+s{3,}|s{3,}", "sss"),
        (r"t+sk|tsk+", "tˈɪsk"),
        (r"h+m{2,}", "hmm"),
        (r"h+mp+h+", "hˈʌmf"),
        (r"m{2,}|m+h*m+", "mm"),
        (r"m+-?h+m+", "mhˈm"),
        (r"z{3,}", "zzz"),
        (r"v+r{2,}m*", "vɹˈum"),
        (r"e+w{2,}", "ˈiu"),
        (r"o+w{2,}", "ˈW"),
        (r"a+r+g+h+", "ˈɑɹɡ"),
        (r"u+g+h+", "ˈʌɡ"),
    )
)
_REPEATED_LETTER = re.compile(r"(\w)\1{2,}", re.IGNORECASE)
_MAX_RUNS = 5


def interjection_phonemes(word: str) -> str | None:
    """Return the phonemes of an interjection such as "Shh"; None for other words."""
    if len(word) > 200:
        return None
    return next((phonemes for pattern, phonemes in _INTERJECTIONS if pattern.fullmatch(word)), None)


def shorten_elongated(word: str, is_known: Callable[[str], bool]) -> str:
    """Return the dictionary form of an elongated word: "so" for "sooooo", "good" for "goood".

    Runs of three or more equal letters are shortened to two or one, so that `is_known` returns True. If no shorter form
    is known, each run becomes one letter.
    """
    runs = list(_REPEATED_LETTER.finditer(word))
    if not runs:
        return word
    if len(runs) <= _MAX_RUNS:
        for counts in sorted(product((2, 1), repeat=len(runs)), key=lambda counts: -sum(counts)):
            shorter = _with_runs(word, runs, counts)
            if is_known(shorter):
                return shorter
    return _with_runs(word, runs, (1,) * len(runs))


def _with_runs(word: str, runs: list[re.Match[str]], counts: tuple[int, ...]) -> str:
    """Return the word with `counts` letters in its runs."""
    parts, position = [], 0
    for run, count in zip(runs, counts, strict=True):
        parts += [word[position : run.start()], run[0][:count]]
        position = run.end()
    return "".join([*parts, word[position:]])
