"""Compare two alignments of one recording: pair their phones and measure the errors of their boundaries.

Two aligners often read a text differently: one has `t`, the other a flap; one has `ER`, the other `ə ɹ`. So the phones
of each word are paired first, by the smallest number of insertions and deletions. A phone can be paired with each phone
that `ARPABET` lists for it. Only a boundary between two paired phones is compared. The start and end of a word are
compared even if their phones are not paired. Times are in seconds. The error of a boundary is our time minus the time
of the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tts_meta.errors import UsageError
from tts_meta.text import BOUNDARIES, split_symbols

ARPABET: Mapping[str, str] = {
    "AA": "ɑɔ",
    "AE": "æ",
    "AH": "ʌəɐᵊᵻɪ",
    "AO": "ɔɑ",
    "AW": "W",
    "AY": "I",
    "B": "b",
    "CH": "ʧ",
    "D": "dɾT",
    "DH": "ð",
    "EH": "ɛ",
    "ER": "ɜ",
    "EY": "A",
    "F": "f",
    "G": "ɡ",
    "HH": "h",
    "IH": "ɪᵻəi",
    "IY": "iɪᵻ",
    "JH": "ʤ",
    "K": "k",
    "L": "l",
    "M": "m",
    "N": "n",
    "NG": "ŋ",
    "OW": "O",
    "OY": "Y",
    "P": "p",
    "R": "ɹ",
    "S": "s",
    "SH": "ʃ",
    "T": "tɾTʔ",
    "TH": "θ",
    "UH": "ʊ",
    "UW": "uʊ",
    "V": "v",
    "W": "w",
    "Y": "j",
    "Z": "z",
    "ZH": "ʒ",
}
"""For each phone of the CMU dictionary: the symbols of the base, without stress, that it can be paired with."""

_CLASSES: Mapping[str, str] = {
    "stop": "B D G K P T",
    "affricate": "CH JH",
    "fricative": "DH F HH S SH TH V Z ZH",
    "nasal": "M N NG",
    "liquid or glide": "L R W Y",
}
_CLASS_OF = {name: phone_class for phone_class, names in _CLASSES.items() for name in names.split()}
_NAMES = {
    symbol: frozenset(name for name, symbols in ARPABET.items() if symbol in symbols)
    for symbol in sorted({symbol for symbols in ARPABET.values() for symbol in symbols})
}
_CENTRAL_VOWELS = {frozenset({"AH"}), frozenset({"ER"}), *(_NAMES[symbol] for symbol in "ɜəɐʌᵊ")}
PAUSE = "pause"


@dataclass(frozen=True)
class Phone:
    """One phone of an alignment: the phones of the CMU dictionary that it can be, start and end in seconds."""

    names: frozenset[str]
    start: float
    end: float

    @property
    def phone_class(self) -> str:
        """Stop, affricate, fricative, nasal, liquid or glide, vowel, or unknown."""
        return min(_CLASS_OF.get(name, "vowel") for name in self.names) if self.names else "unknown"


Word = Sequence[Phone]


@dataclass(frozen=True)
class Boundary:
    """One boundary that both alignments have: its `error` in seconds, and the reference's classes on both sides."""

    error: float
    left: str
    right: str
    at_word_edge: bool
    """Whether a word starts or ends here."""
    phones_paired: bool
    """Whether the phones on both sides are paired; word edges are compared even if they are not."""


@dataclass(frozen=True)
class ComparedSentence:
    """The boundaries of one sentence."""

    id: str
    speaker: str
    boundaries: tuple[Boundary, ...]

    @property
    def worst_word_edge(self) -> float:
        """The largest absolute error of a start or end of a word, in seconds."""
        return max((abs(boundary.error) for boundary in self.boundaries if boundary.at_word_edge), default=0.0)


def words_from_symbols(phonemes: str, durations: Sequence[int], frame: float, start: float = 0.0) -> list[Word]:
    """The words of our alignment. `durations (N,)`: frames of `frame` seconds for each symbol of `phonemes`.

    `start`: time of the first frame. Raises UsageError if the lengths differ.
    """
    symbols = split_symbols(phonemes)
    if len(symbols) != len(durations):
        raise UsageError(f"{len(symbols)} symbols have {len(durations)} durations; align the same phonemes")
    times = start + frame * np.concatenate([[0], np.cumsum(durations)])
    words: list[list[Phone]] = [[]]
    for index, symbol in enumerate(symbols[1:-1], 1):
        if symbol in BOUNDARIES:
            words.append([])
            continue
        names = _NAMES.get(symbol.lstrip("ˈˌ"), frozenset())
        words[-1].append(Phone(names, float(times[index]), float(times[index + 1])))
    return [merge_rhotics(word) for word in words if word]


def merge_rhotics(word: Word) -> Word:
    """Merge a central vowel and a following R into one phone ER, as the CMU dictionary mostly has it."""
    merged: list[Phone] = []
    for phone in word:
        if phone.names == {"R"} and merged and merged[-1].names in _CENTRAL_VOWELS:
            merged[-1] = Phone(frozenset({"ER"}), merged[-1].start, phone.end)
        else:
            merged.append(phone)
    return merged


def pair_phones(ours: Word, reference: Word) -> list[tuple[int, int]]:
    """Indices `(ours, reference)` of paired phones, in order: the longest common subsequence of the two words."""
    rows, columns = len(ours), len(reference)
    most_pairs = np.zeros((rows + 1, columns + 1), dtype=np.int64)
    match = [[bool(phone.names & other.names) for other in reference] for phone in ours]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            with_this_pair = most_pairs[i + 1, j + 1] + 1 if match[i][j] else 0
            most_pairs[i, j] = max(most_pairs[i + 1, j], most_pairs[i, j + 1], with_this_pair)
    pairs, i, j = [], 0, 0
    while i < rows and j < columns:
        if match[i][j] and most_pairs[i, j] == most_pairs[i + 1, j + 1] + 1:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif most_pairs[i, j] == most_pairs[i + 1, j]:
            i += 1
        else:
            j += 1
    return pairs


def compare_alignments(ours: Sequence[Word], reference: Sequence[Word]) -> list[Boundary]:
    """Every boundary that both alignments of a sentence have. Raises UsageError if they have other numbers of words.

    Between two words there is one boundary. If either alignment has a pause there, there are two: the end of the first
    word and the start of the second one.
    """
    if len(ours) != len(reference) or not ours:
        raise UsageError(f"alignments of {len(ours)} and {len(reference)} words cannot be compared; give the same text")
    pairs = [set(pair_phones(word, other)) for word, other in zip(ours, reference, strict=True)]
    first, last = reference[0][0], reference[-1][-1]
    boundaries = [Boundary(ours[0][0].start - first.start, PAUSE, first.phone_class, True, (0, 0) in pairs[0])]
    for index, (word, other) in enumerate(zip(ours, reference, strict=True)):
        for i, j in sorted(pairs[index]):
            if (i + 1, j + 1) in pairs[index]:
                error = word[i].end - other[j].end
                boundaries.append(Boundary(error, other[j].phone_class, other[j + 1].phone_class, False, True))
        if index + 1 < len(ours):
            next_word, next_other = ours[index + 1], reference[index + 1]
            left, right = other[-1], next_other[0]
            ends_paired = (len(word) - 1, len(other) - 1) in pairs[index]
            starts_paired = (0, 0) in pairs[index + 1]
            end_error, start_error = word[-1].end - left.end, next_word[0].start - right.start
            if max(next_word[0].start - word[-1].end, right.start - left.end) < 1e-6:
                both_paired = ends_paired and starts_paired
                boundaries.append(Boundary(end_error, left.phone_class, right.phone_class, True, both_paired))
            else:
                boundaries.append(Boundary(end_error, left.phone_class, PAUSE, True, ends_paired))
                boundaries.append(Boundary(start_error, PAUSE, right.phone_class, True, starts_paired))
    paired = (len(ours[-1]) - 1, len(reference[-1]) - 1) in pairs[-1]
    boundaries.append(Boundary(ours[-1][-1].end - last.end, last.phone_class, PAUSE, True, paired))
    return boundaries
