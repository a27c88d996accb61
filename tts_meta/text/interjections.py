"""Words that are sounds rather than spellings: "Shh!", "Brrr!", "Nooooo!"."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

# American English in the symbols of `HibariPhonemizer`. Each has a hummed or hissed sound, a few with a weak vowel.
_SOUNDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
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
_RUN = re.compile(r"(\w)\1{2,}", re.IGNORECASE)
_MOST_RUNS = 5


def interjection_phonemes(word: str) -> str | None:
    """Phonemes of an interjection such as "Shh"; None for other words."""
    if len(word) > 200:
        return None
    return next((phonemes for pattern, phonemes in _SOUNDS if pattern.fullmatch(word)), None)


def shorten_elongated(word: str, known: Callable[[str], bool]) -> str:
    """A drawn-out word as it is in the dictionary: "sooooo" is "so", "goood" "good"; letters thrice and more are meant.

    Where the dictionary has none of the shorter forms each long run of a letter is one letter.
    """
    runs = list(_RUN.finditer(word))
    if not runs:
        return word
    if len(runs) <= _MOST_RUNS:
        for counts in sorted(product((2, 1), repeat=len(runs)), key=lambda counts: -sum(counts)):
            shorter = _with_runs(word, runs, counts)
            if known(shorter):
                return shorter
    return _with_runs(word, runs, (1,) * len(runs))


def _with_runs(word: str, runs: list[re.Match[str]], counts: tuple[int, ...]) -> str:
    parts, position = [], 0
    for run, count in zip(runs, counts, strict=True):
        parts += [word[position : run.start()], run[0][:count]]
        position = run.end()
    return "".join([*parts, word[position:]])
