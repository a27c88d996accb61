"""Episodes of meta-training: sentences of one speaker, divided into a support set and a query set."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tts_meta.errors import UsageError


class SpeakerItem(Protocol):
    """An object with a speaker and an id, such as an `Utterance` or an `Example`."""

    @property
    def id(self) -> str: ...

    @property
    def speaker(self) -> str: ...


Item = TypeVar("Item", bound=SpeakerItem)


@dataclass(frozen=True)
class Episode(Generic[Item]):
    """One task: adapt to `speaker` on the `support` items, score on the `query` items. The sets are disjoint.

    name: of an episode that comes again, else empty.
    """

    speaker: str
    support: tuple[Item, ...]
    query: tuple[Item, ...]
    name: str = ""

    @property
    def task_name(self) -> str:
        """The name of the episode, or else of its speaker."""
        return self.name or self.speaker


class EpisodeSampler(Generic[Item]):
    """The infinite sequence of episodes that `seed` defines: `episode(n)` is a function of (items, seed, n).

    Every speaker with at least `support + query` items has one episode in each pass over the speakers. The order of
    speakers changes between passes. An episode does not depend on the order of the items or on earlier episodes. All
    processes and a resumed run therefore draw the same episodes. With the same seed and speakers, the query items do
    not depend on `support`, and a larger support set contains the smaller one. Support sets of 1, 5 and 10 sentences
    are therefore compared on the same query set.

    per_speaker: number of episodes of each speaker. The passes over the speakers repeat them in turn, and they have
    names. With 0, each pass draws new items.

    The constructor reads the items once and keeps their positions by speaker. An episode then reads only its own
    `support + query` items.

    Raises UsageError if no speaker has enough items, an id is repeated, or a number is out of range.
    """

    def __init__(self, items: Sequence[Item], support: int, query: int, seed: int, per_speaker: int = 0) -> None:
        if support < 1 or query < 0:
            raise UsageError(f"episodes need support >= 1 and query >= 0; got {support} and {query}")
        if per_speaker < 0:
            raise UsageError(f"the number of episodes of a speaker must be 0 or more; got {per_speaker}")
        self.items, self.support, self.query, self.seed = items, support, query, seed
        self.per_speaker = per_speaker
        positions, needed = _positions_by_speaker(items), support + query
        self._positions = {name: found for name, found in positions.items() if len(found) >= needed}
        self._speakers = sorted(self._positions)
        if not self._speakers:
            most = max(map(len, positions.values()), default=0)
            raise UsageError(
                f"no speaker has {needed} utterances ({support} support + {query} query); "
                f"the largest number is {most}; ask for fewer utterances"
            )
        self._pass, self._order = -1, _Shuffle(0, "")

    def episode(self, number: int) -> Episode[Item]:
        """Return episode `number`, from 0. Raises UsageError for a negative number."""
        if number < 0:
            raise UsageError(f"episodes are numbered from 0; got {number}")
        current_pass, place = divmod(number, len(self._speakers))
        if current_pass != self._pass:
            self._pass, self._order = current_pass, _Shuffle(len(self._speakers), f"{self.seed}/pass/{current_pass}")
        speaker = self._speakers[self._order[place]]
        positions = self._positions[speaker]
        name = f"{speaker}/{current_pass % self.per_speaker}" if self.per_speaker else ""
        shuffle = _Shuffle(len(positions), f"{self.seed}/episode/{name or number}")
        drawn = tuple(self.items[positions[shuffle[place]]] for place in range(self.query + self.support))
        return Episode(speaker, drawn[self.query :], drawn[: self.query], name)

    def episodes(self, start: int = 0, count: int | None = None) -> Iterator[Episode[Item]]:
        """Return an iterator over episodes `start` to `start + count - 1`; with `count=None` it never ends."""
        numbers = itertools.count(start) if count is None else range(start, start + count)
        return map(self.episode, numbers)


class _Shuffle:
    """A random order of the numbers from 0 to `size - 1`, computed only as far as it is read.

    The order is that of `random.Random(seed).sample(range(size), size)`: a Fisher-Yates shuffle in which only the
    numbers that moved are stored. The seed is a string, which Python hashes with SHA-512, so the orders of similar
    seeds are independent.
    """

    def __init__(self, size: int, seed: str) -> None:
        self._size, self._random = size, random.Random(seed)
        self._order: list[int] = []
        self._moved: dict[int, int] = {}

    def __getitem__(self, place: int) -> int:
        while len(self._order) <= place:
            last = self._size - len(self._order) - 1
            chosen = self._random.randrange(last + 1)
            moved_last = self._moved.pop(last, last)
            self._order.append(moved_last if chosen == last else self._moved.get(chosen, chosen))
            if chosen != last:
                self._moved[chosen] = moved_last
        return self._order[place]


def _positions_by_speaker(items: Sequence[SpeakerItem]) -> dict[str, list[int]]:
    """Return the positions of each speaker's items, in the order of their ids."""
    by_speaker: dict[str, list[tuple[str, int]]] = defaultdict(list)
    seen: set[str] = set()
    for position, item in enumerate(items):
        if item.id in seen:
            raise UsageError(f"the id {item.id!r} is repeated; make the ids of utterances unique")
        seen.add(item.id)
        by_speaker[item.speaker].append((item.id, position))
    return {speaker: [position for _, position in sorted(named)] for speaker, named in by_speaker.items()}
