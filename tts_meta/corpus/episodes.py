"""Episodes of meta-training: sentences of one speaker, divided into a support set and a query set."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """One task: adapt to `speaker` on the `support` items, score on the `query` items. The sets are disjoint."""

    speaker: str
    support: tuple[Item, ...]
    query: tuple[Item, ...]


def sample_episodes(
    items: Iterable[Item],
    support: int,
    query: int,
    count: int | None,
    seed: int,
    start: int = 0,
) -> Iterator[Episode[Item]]:
    """Return an iterator over episodes `start` to `start + count - 1` of the infinite sequence that `seed` defines.

    Every speaker with at least `support + query` items has one episode in each pass over the speakers. The order of
    speakers changes between passes. Episode i depends only on (items, seed, i), not on the order of the items or on
    earlier episodes. A resumed run therefore only sets `start`. With the same seed and speakers, the query items do not
    depend on `support`, and a larger support set contains the smaller one. Support sets of 1, 5 and 10 sentences are
    therefore compared on the same query set. With `count=None` the iterator never ends.

    Raises UsageError if no speaker has enough items, an id is repeated, or a number is out of range.
    """
    if support < 1 or query < 0 or start < 0 or (count is not None and count < 0):
        given = f"{support}, {query}, {count} and {start}"
        raise UsageError(f"episodes need support >= 1 and query, count and start >= 0; got {given}")
    by_speaker = _by_speaker(items)
    needed = support + query
    eligible = sorted(name for name, speaker_items in by_speaker.items() if len(speaker_items) >= needed)
    if not eligible:
        most = max(map(len, by_speaker.values()), default=0)
        raise UsageError(
            f"no speaker has {needed} utterances ({support} support + {query} query); the largest number is {most}; "
            "ask for fewer utterances"
        )
    numbers = itertools.count(start) if count is None else range(start, start + count)
    return _episodes(by_speaker, eligible, support, query, numbers, seed)


def _episodes(
    by_speaker: Mapping[str, Sequence[Item]],
    eligible: Sequence[str],
    support: int,
    query: int,
    numbers: Iterable[int],
    seed: int,
) -> Iterator[Episode[Item]]:
    order: list[str] = []
    order_of = -1
    for number in numbers:
        current_pass, position = divmod(number, len(eligible))
        if current_pass != order_of:
            # The seed is a string, which Python hashes with SHA-512, so that adjacent passes are independent.
            order = random.Random(f"{seed}/pass/{current_pass}").sample(eligible, len(eligible))
            order_of = current_pass
        speaker = order[position]
        items = by_speaker[speaker]
        shuffled = random.Random(f"{seed}/episode/{number}").sample(items, len(items))
        yield Episode(speaker, tuple(shuffled[query : query + support]), tuple(shuffled[:query]))


def _by_speaker(items: Iterable[Item]) -> dict[str, list[Item]]:
    by_speaker: dict[str, list[Item]] = defaultdict(list)
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise UsageError(f"the id {item.id!r} is repeated; make the ids of utterances unique")
        seen.add(item.id)
        by_speaker[item.speaker].append(item)
    for speaker_items in by_speaker.values():
        speaker_items.sort(key=lambda item: item.id)
    return dict(by_speaker)
