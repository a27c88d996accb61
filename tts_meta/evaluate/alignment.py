"""How far apart are two alignments of one recording? Boundaries of phones and words, paired and compared.

Two aligners seldom read a text alike: one says `t`, the other a flap, one `ER`, the other `ə ɹ`. So the phones of each
word are paired first, by the fewest edits, where a phone may be paired with any that `ARPABET` gives for it, and only a
boundary between two phones that both have their partners is compared. Where a word starts and ends needs no phones and
is compared on its own. Times are in seconds; the error of a boundary is ours less the reference's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval, mean_interval
from tts_meta.text import BOUNDARIES, split_symbols

GROSS = 0.25
"""A sentence has a gross error where a word starts or ends this many seconds from where the reference has it: more
than most words last, so that part of some other word is taken for it."""

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
"""Symbols of the base, stress left out, that each phone of the CMU dictionary may be paired with."""

_CLASSES: Mapping[str, str] = {
    "stop": "B D G K P T",
    "affricate": "CH JH",
    "fricative": "DH F HH S SH TH V Z ZH",
    "nasal": "M N NG",
    "liquid or glide": "L R W Y",
}
_CLASS = {name: kind for kind, names in _CLASSES.items() for name in names.split()}
_NAMES = {
    symbol: frozenset(name for name, symbols in ARPABET.items() if symbol in symbols)
    for symbol in sorted({symbol for symbols in ARPABET.values() for symbol in symbols})
}
_CENTRAL = {frozenset({"AH"}), frozenset({"ER"}), *(_NAMES[symbol] for symbol in "ɜəɐʌᵊ")}
PAUSE = "pause"


@dataclass(frozen=True)
class Phone:
    """One phone of an alignment: the phones of the CMU dictionary it may stand for, start and end in seconds."""

    names: frozenset[str]
    start: float
    end: float

    @property
    def kind(self) -> str:
        """Its class: stop, affricate, fricative, nasal, liquid or glide, vowel."""
        return min(_CLASS.get(name, "vowel") for name in self.names) if self.names else "unknown"


Word = Sequence[Phone]


@dataclass(frozen=True)
class Boundary:
    """One boundary that both alignments have: `error` in seconds, the classes of the reference on both its sides."""

    error: float
    left: str
    right: str
    edge: bool
    """Whether a word starts or ends here."""
    paired: bool
    """Whether the phones at it are paired; the edge of a word may be compared where they are not."""


@dataclass(frozen=True)
class Compared:
    """One sentence, its boundaries compared."""

    id: str
    speaker: str
    boundaries: tuple[Boundary, ...]

    @property
    def worst_edge(self) -> float:
        """The largest error of a word's start or end, seconds."""
        return max((abs(boundary.error) for boundary in self.boundaries if boundary.edge), default=0.0)


@dataclass(frozen=True)
class Errors:
    """Errors of many boundaries, milliseconds and shares, each with its interval over speakers and sentences."""

    count: int
    median: Interval
    mean: Interval
    high: Interval
    """The 90th percentile."""
    within_20: Interval
    within_50: Interval
    offset: Interval
    """The median of the signed error: positive where our boundaries are late."""


def words_from_symbols(phonemes: str, durations: Sequence[int], frame: float, start: float = 0.0) -> list[Word]:
    """The words of our own alignment: `durations (N,)` in frames of `frame` seconds, of the symbols of `phonemes`.

    `start`: the time of the first frame. Raises UsageError where the lengths differ.
    """
    symbols = split_symbols(phonemes)
    if len(symbols) != len(durations):
        raise UsageError(f"{len(symbols)} symbols have {len(durations)} durations; align the same phonemes")
    edges = start + frame * np.concatenate([[0], np.cumsum(durations)])
    words: list[list[Phone]] = [[]]
    for place, symbol in enumerate(symbols[1:-1], 1):
        if symbol in BOUNDARIES:
            words.append([])
            continue
        names = _NAMES.get(symbol.lstrip("ˈˌ"), frozenset())
        words[-1].append(Phone(names, float(edges[place]), float(edges[place + 1])))
    return [merge_rhotics(word) for word in words if word]


def merge_rhotics(word: Word) -> Word:
    """The word with a central vowel and the R after it made one phone ER, as the CMU dictionary mostly has them."""
    merged: list[Phone] = []
    for phone in word:
        if phone.names == {"R"} and merged and merged[-1].names in _CENTRAL:
            merged[-1] = Phone(frozenset({"ER"}), merged[-1].start, phone.end)
        else:
            merged.append(phone)
    return merged


def pair_phones(ours: Word, reference: Word) -> list[tuple[int, int]]:
    """Places `(ours, reference)` of the phones that are paired, in order, by the fewest insertions and deletions."""
    rows, columns = len(ours), len(reference)
    most = np.zeros((rows + 1, columns + 1), dtype=np.int64)
    alike = [[bool(one.names & other.names) for other in reference] for one in ours]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            most[i, j] = max(most[i + 1, j], most[i, j + 1], most[i + 1, j + 1] + 1 if alike[i][j] else 0)
    pairs, i, j = [], 0, 0
    while i < rows and j < columns:
        if alike[i][j] and most[i, j] == most[i + 1, j + 1] + 1:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif most[i, j] == most[i + 1, j]:
            i += 1
        else:
            j += 1
    return pairs


def compare(ours: Sequence[Word], reference: Sequence[Word]) -> list[Boundary]:
    """Every boundary that both alignments of a sentence have. Raises UsageError where they differ in words.

    Between two words there is one boundary, or, where either alignment has a pause, the end of the one and the start
    of the other.
    """
    if len(ours) != len(reference) or not ours:
        raise UsageError(f"alignments of {len(ours)} and {len(reference)} words cannot be compared; give the same text")
    pairs = [set(pair_phones(one, other)) for one, other in zip(ours, reference, strict=True)]
    first, last = reference[0][0], reference[-1][-1]
    found = [Boundary(ours[0][0].start - first.start, PAUSE, first.kind, True, (0, 0) in pairs[0])]
    for place, (one, other) in enumerate(zip(ours, reference, strict=True)):
        for i, j in sorted(pairs[place]):
            if (i + 1, j + 1) in pairs[place]:
                error = one[i].end - other[j].end
                found.append(Boundary(error, other[j].kind, other[j + 1].kind, False, True))
        if place + 1 < len(ours):
            after, its = ours[place + 1], reference[place + 1]
            left, right = other[-1], its[0]
            ends_paired = (len(one) - 1, len(other) - 1) in pairs[place]
            starts_paired = (0, 0) in pairs[place + 1]
            end, start = one[-1].end - left.end, after[0].start - right.start
            if max(after[0].start - one[-1].end, right.start - left.end) < 1e-6:
                found.append(Boundary(end, left.kind, right.kind, True, ends_paired and starts_paired))
            else:
                found.append(Boundary(end, left.kind, PAUSE, True, ends_paired))
                found.append(Boundary(start, PAUSE, right.kind, True, starts_paired))
    paired = (len(ours[-1]) - 1, len(reference[-1]) - 1) in pairs[-1]
    found.append(Boundary(ours[-1][-1].end - last.end, last.kind, PAUSE, True, paired))
    return found


def errors_of(sentences: Sequence[Compared], keep: Callable[[Boundary], bool], seed: int = 0) -> Errors:
    """The errors of the boundaries that `keep` chooses. Raises UsageError where it chooses none.

    The sentence is what is drawn, never the single boundary: those of one sentence go wrong together.
    """
    chosen = [(one.speaker, _errors(one, keep)) for one in sentences]
    chosen = [(speaker, errors) for speaker, errors in chosen if errors.size]
    if not chosen:
        raise UsageError("no boundary to measure; compare at least one sentence")
    speakers = [speaker for speaker, _ in chosen]
    signed = [1000 * errors for _, errors in chosen]
    sizes = [np.abs(errors) for errors in signed]
    counts = [errors.size for errors in signed]

    def share(limit: float) -> Interval:
        return mean_interval([float((size < limit).mean()) for size in sizes], speakers, counts, seed=seed)

    return Errors(
        count=sum(counts),
        median=quantile_interval(sizes, speakers, 0.5, seed),
        mean=mean_interval([float(size.mean()) for size in sizes], speakers, counts, seed=seed),
        high=quantile_interval(sizes, speakers, 0.9, seed),
        within_20=share(20.0),
        within_50=share(50.0),
        offset=quantile_interval(signed, speakers, 0.5, seed),
    )


def quantile_interval(
    groups: Sequence[npt.NDArray[np.float64]], speakers: Sequence[str], level: float, seed: int = 0
) -> Interval:
    """The quantile at `level` of all values with its 95 % interval; `groups` are the sentences of `speakers (S,)`.

    Woodruff 1952: an interval for the share of values below the quantile, which is a mean, read back as quantiles.
    """
    values = np.concatenate(groups)
    middle = float(np.quantile(values, level))
    counts = [group.size for group in groups]
    # Half a value at the quantile itself, since many lie exactly there: times are whole frames.
    below = [float(((group < middle) + 0.5 * (group == middle)).mean()) for group in groups]
    share = mean_interval(below, speakers, counts, seed=seed)
    low, high = (min(max(level + bound - share.mean, 0.0), 1.0) for bound in (share.low, share.high))
    return Interval(middle, float(np.quantile(values, low)), float(np.quantile(values, high)), values.size)


def gross_errors(sentences: Sequence[Compared], limit: float = GROSS, seed: int = 0) -> Interval:
    """The share of sentences where a word starts or ends more than `limit` seconds from the reference."""
    return mean_interval(
        [float(one.worst_edge > limit) for one in sentences], [one.speaker for one in sentences], seed=seed
    )


def by_classes(sentences: Sequence[Compared], fewest: int) -> Iterator[tuple[str, str, Errors]]:
    """Errors by the classes on both sides, largest median first; pairs of classes seen less than `fewest` left out."""
    counts: dict[tuple[str, str], int] = {}
    for one in sentences:
        for boundary in one.boundaries:
            if boundary.paired:
                counts[boundary.left, boundary.right] = counts.get((boundary.left, boundary.right), 0) + 1
    found = []
    for pair, count in sorted(counts.items()):
        if count >= fewest:

            def of_pair(boundary: Boundary, pair: tuple[str, str] = pair) -> bool:
                return boundary.paired and (boundary.left, boundary.right) == pair

            found.append((*pair, errors_of(sentences, of_pair)))
    yield from sorted(found, key=lambda row: -row[2].median.mean)


def _errors(sentence: Compared, keep: Callable[[Boundary], bool]) -> npt.NDArray[np.float64]:
    return np.array([boundary.error for boundary in sentence.boundaries if keep(boundary)])
