"""Episodes: one speaker's sentences, some to adapt on and others to score the adapted model on."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tts_meta.errors import UsageError


class SpeakerItem(Protocol):
    """Anything that has a speaker and an id, such as an `Utterance` or an `Example`."""

    @property
    def id(self) -> str: ...

    @property
    def speaker(self) -> str: ...


Item = TypeVar("Item", bound=SpeakerItem)


@dataclass(frozen=True)
class Episode(Generic[Item]):
    """One task: adapt to `speaker` on the `support` items, score on the `query` items. They share no item."""

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
    """Return an iterator over episodes `start` to `start + count - 1` of the endless sequence that `seed` defines.

    Every speaker with at least `support + query` items has one episode in each pass over the speakers, and the
    order changes from pass to pass. Episode i hangs on (items, seed, i) only, not on the order of the items or on
    the episodes before it: a resumed run passes `start`. With the same seed and the same speakers, the query items
    do not hang on `support` and a larger support contains the smaller, so that 1, 5 and 10 sentences compare on the
    same query. `count=None` never ends.

    Raises UsageError where no speaker has enough items, an id occurs twice, or a number is out of range.
    """
    if support < 1 or query < 0 or start < 0 or (count is not None and count < 0):
        given = f"{support}, {query}, {count} and {start}"
        raise UsageError(f"episodes need support >= 1 and query, count and start >= 0; got {given}")
    by_speaker = _by_speaker(items)
    needed = support + query
    eligible = sorted(name for name, own in by_speaker.items() if len(own) >= needed)
    if not eligible:
        most = max(map(len, by_speaker.values()), default=0)
        raise UsageError(
            f"no speaker has {needed} utterances ({support} support + {query} query), the most is {most}; ask for fewer"
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
        current_pass, place = divmod(number, len(eligible))
        if current_pass != order_of:
            # Seeded by text: Python hashes it with SHA-512, so that neighbouring passes are unrelated.
            order = random.Random(f"{seed}/pass/{current_pass}").sample(eligible, len(eligible))
            order_of = current_pass
        speaker = order[place]
        own = by_speaker[speaker]
        drawn = random.Random(f"{seed}/episode/{number}").sample(own, len(own))
        yield Episode(speaker, tuple(drawn[query : query + support]), tuple(drawn[:query]))


def _by_speaker(items: Iterable[Item]) -> dict[str, list[Item]]:
    by_speaker: dict[str, list[Item]] = defaultdict(list)
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise UsageError(f"the id {item.id!r} occurs twice; ids keep support and query apart, make them unique")
        seen.add(item.id)
        by_speaker[item.speaker].append(item)
    for own in by_speaker.values():
        own.sort(key=lambda item: item.id)
    return dict(by_speaker)
