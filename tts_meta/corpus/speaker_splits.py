"""Draw of train, dev, test and meta by rule and seed, by speaker or within speakers, in little memory."""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tts_meta.corpus.text_file import read_text_file, split_lines
from tts_meta.corpus.utterance import Utterance, unperturbed_name
from tts_meta.errors import UsageError

TRAIN, DEV, TEST, META = "train", "dev", "test", "meta"
PERTURBED_SUFFIX = "_perturbed"
"""Copies of the recordings of split `train` at another speed are in split `train_perturbed`."""


@dataclass(frozen=True)
class Amount:
    """How much a split takes. Exactly one field is set.

    share: from 0 to 1, of the speakers, or of the utterances of each speaker. count: speakers, or utterances of each
    speaker. hours: of speech. names: these speakers.
    """

    share: float | None = None
    count: int | None = None
    hours: float | None = None
    names: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> Amount:
        """Return the amount of `0.05` or `5%` (share), `20` (count), `2.5h` (hours), or a file that lists speakers.

        Raises UsageError for another text, and TtsMetaError for a file that cannot be read.
        """
        if re.fullmatch(r"\d{1,9}", text):
            return cls(count=int(text))
        match = re.fullmatch(r"(\d{1,9}(?:\.\d*)?|\.\d+)(h|%)?", text)
        if match is None:
            path = Path(text)
            if not path.is_file():
                raise UsageError(
                    f"{text!r} is no amount and no file; give a share such as 0.05, a number of speakers such as 20, "
                    "hours such as 2.5h, or a file with one speaker a line"
                )
            lines = [line.strip() for line in split_lines(read_text_file(path))]
            return cls(names=tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#"))))
        number = float(match[1])
        if match[2] == "h":
            return cls(hours=number)
        share = number / 100 if match[2] else number
        if share > 1:
            raise UsageError(f"a share of {text} is more than everything; give a share from 0 to 1, or a whole number")
        return cls(share=share)

    def of(self, total: int) -> int:
        """Return how many of `total` speakers or utterances a share or a count takes; a share above 0 at least one."""
        if self.count is not None:
            return self.count
        share = self.share or 0.0
        return max(1, math.floor(share * total + 0.5)) if share and total else 0


@dataclass
class Speaker:
    """What a split needs to know of a speaker; speed-perturbed copies do not count.

    ranks: for a split within speakers, the rank of each utterance; see `rank`.
    """

    seconds: float = 0.0
    utterances: int = 0
    gender: str | None = None
    ranks: array[int] = field(default_factory=lambda: array("Q"))


def collect_speakers(utterances: Iterable[Utterance], seed: int, within: bool = False) -> dict[str, Speaker]:
    """Return the speakers by name without the speed of a copy. within: also collect the rank of each utterance."""
    speakers: dict[str, Speaker] = defaultdict(Speaker)
    for utterance in utterances:
        speaker = speakers[unperturbed_name(utterance.speaker)]
        speaker.gender = speaker.gender or utterance.gender
        if unperturbed_name(utterance.id) == utterance.id:
            speaker.seconds += utterance.seconds
            speaker.utterances += 1
            if within:
                speaker.ranks.append(rank(utterance.id, seed))
    return dict(speakers)


def rank(name: str, seed: int) -> int:
    """Return a number from a hash of seed and name; the lowest are drawn first.

    The draw is the same on every machine and Python version, and does not depend on the order of the lines.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")


def draw_speakers(
    speakers: Mapping[str, Speaker], amounts: Mapping[str, Amount], seed: int, balance: bool = True
) -> dict[str, str]:
    """Return the split of each speaker. The splits are drawn in the order of `amounts`; train has the rest.

    balance: if the corpus has genders, they take turns, so that every split has as many speakers of each as possible.
    Raises UsageError for an unknown speaker, a speaker of two lists, or if no speaker remains for train.
    """
    split_of = dict[str, str]()
    for split, amount in amounts.items():
        for name in amount.names or ():
            if name not in speakers:
                raise UsageError(f"no speaker named {name!r}; the manifest has {len(speakers)} others")
            if name in split_of:
                raise UsageError(
                    f"speaker {name!r} is listed for {split_of[name]} and for {split}; list each speaker once"
                )
            split_of[name] = split
    order = [name for name in _draw_order(speakers, seed, balance) if name not in split_of]
    start = 0
    for split, amount in amounts.items():
        if amount.names is None:
            end = start + _number_of(order[start:], speakers, amount)
            split_of |= dict.fromkeys(order[start:end], split)
            start = end
    if start > len(order) or len(split_of) == len(speakers):
        names = " and ".join([", ".join([*amounts][:-1]), [*amounts][-1]])
        raise UsageError(
            f"{names} take all {len(speakers)} speakers and leave none for train; give less, or divide the "
            "utterances of each speaker with --within-speakers"
        )
    return {name: split_of.get(name, TRAIN) for name in speakers}


def _draw_order(speakers: Mapping[str, Speaker], seed: int, balance: bool) -> list[str]:
    """Return the speakers by rank; if balanced, the first of each gender, then the second of each, and further."""
    names = sorted(speakers, key=lambda name: (rank(name, seed), name))
    if not balance:
        return names
    turn_of: dict[str, int] = {}
    turns: dict[str | None, int] = defaultdict(int)
    for name in names:
        gender = speakers[name].gender
        turn_of[name] = turns[gender]
        turns[gender] += 1
    return sorted(names, key=lambda name: turn_of[name])


def _number_of(order: Sequence[str], speakers: Mapping[str, Speaker], amount: Amount) -> int:
    """Return how many speakers, from the first, make up an amount."""
    if amount.hours is None:
        return amount.of(len(speakers))
    seconds, number = amount.hours * 3600, 0
    while seconds > 0:
        if number == len(order):
            return number + 1
        seconds -= speakers[order[number]].seconds
        number += 1
    return number


def draw_utterances(speakers: Mapping[str, Speaker], dev: Amount, test: Amount) -> dict[str, tuple[int, int]]:
    """Return two ranks for each speaker: utterances below the first are dev, those below the second are test.

    A speaker with too few utterances to leave one for train is in train. Raises UsageError for an amount in hours or a
    list of speakers.
    """
    if any(amount.hours is not None or amount.names is not None for amount in (dev, test)):
        raise UsageError("a split within speakers takes a share or a number of utterances of each speaker")
    limits = {}
    for name, speaker in speakers.items():
        ranks = sorted(speaker.ranks)
        first = dev.of(len(ranks))
        second = first + test.of(len(ranks))
        limits[name] = (ranks[first], ranks[second]) if second < len(ranks) else (0, 0)
    return limits
