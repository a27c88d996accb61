"""Episodes: what they hold, the sequence that a seed defines, and what drawing one reads."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.corpus import Episode, EpisodeSampler
from tts_meta.errors import UsageError


@dataclass(frozen=True)
class Item:
    id: str
    speaker: str


def items(**counts: int) -> list[Item]:
    return [Item(f"{speaker}-{number}", speaker) for speaker, count in counts.items() for number in range(count)]


def first(sampler: EpisodeSampler[Item], count: int, start: int = 0) -> list[Episode[Item]]:
    return list(sampler.episodes(start, count))


COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1)


@given(COUNTS, st.integers(1, 5), st.integers(0, 5), st.integers())
def test_an_episode_is_of_one_speaker_and_never_scores_on_what_it_adapts_on(
    counts: dict[str, int], support: int, query: int, seed: int
) -> None:
    if max(counts.values()) < support + query:
        with pytest.raises(UsageError, match=f"no speaker has {support + query} utterances"):
            EpisodeSampler(items(**counts), support, query, seed)
        return
    episodes = first(EpisodeSampler(items(**counts), support, query, seed), 4)
    assert len(episodes) == 4
    for episode in episodes:
        drawn = episode.support + episode.query
        assert (len(episode.support), len(episode.query)) == (support, query)
        assert len({item.id for item in drawn}) == support + query
        assert {item.speaker for item in drawn} == {episode.speaker}


def test_the_sequence_follows_the_seed_and_not_the_order_of_the_items() -> None:
    corpus = items(a=6, b=6, c=6)
    expected = first(EpisodeSampler(corpus, 2, 2, seed=7), 20)
    assert first(EpisodeSampler(corpus[::-1], 2, 2, seed=7), 20) == expected
    assert first(EpisodeSampler(corpus, 2, 2, seed=8), 20) != expected


def test_a_resumed_run_goes_on_where_it_stopped() -> None:
    corpus = items(a=6, b=6, c=6)
    episodes = first(EpisodeSampler(corpus, 2, 2, seed=7), 20)
    assert first(EpisodeSampler(corpus, 2, 2, seed=7), 13, start=7) == episodes[7:]
    assert list(itertools.islice(EpisodeSampler(corpus, 2, 2, seed=7).episodes(7), 13)) == episodes[7:]


def test_an_episode_does_not_depend_on_the_episodes_drawn_before() -> None:
    corpus = items(a=6, b=6, c=6)
    episodes, sampler = first(EpisodeSampler(corpus, 2, 2, seed=7), 20), EpisodeSampler(corpus, 2, 2, seed=7)
    for number in (19, 3, 4, 3, 0, 11, 10):
        assert sampler.episode(number) == episodes[number]


def test_each_pass_visits_every_speaker_once_in_an_order_of_its_own() -> None:
    visited = [episode.speaker for episode in EpisodeSampler(items(a=4, b=4, c=4, d=4), 1, 1, seed=0).episodes(0, 40)]
    passes = [tuple(visited[place : place + 4]) for place in range(0, 40, 4)]
    assert all(sorted(one_pass) == ["a", "b", "c", "d"] for one_pass in passes)
    assert len(set(passes)) > 3


def test_a_number_of_episodes_per_speaker_repeats_them_in_turn() -> None:
    episodes = first(EpisodeSampler(items(a=9, b=9, c=9), 2, 2, seed=3, per_speaker=2), 18)
    by_name: dict[str, list[Episode[Item]]] = {}
    for episode in episodes:
        assert episode.name.rpartition("/")[0] == episode.speaker and episode.task_name == episode.name
        by_name.setdefault(episode.name, []).append(episode)
    assert by_name.keys() == {f"{speaker}/{number}" for speaker in "abc" for number in (0, 1)}
    assert all(len(visits) == 3 and visits[0] == visits[1] == visits[2] for visits in by_name.values())
    assert {episode.name[-1] for episode in episodes[:3]} == {"0"}, "the first pass has the first episode of each"
    assert len({episode.support for episode in episodes}) == 6
    with pytest.raises(UsageError, match="the number of episodes of a speaker must be 0 or more; got -1"):
        EpisodeSampler(items(a=9), 2, 2, seed=3, per_speaker=-1)


def test_without_this_number_an_episode_has_the_name_of_its_speaker() -> None:
    (episode,) = first(EpisodeSampler(items(a=9), 2, 2, seed=3), 1)
    assert (episode.name, episode.task_name) == ("", "a")


def test_a_speaker_with_too_few_sentences_is_left_out() -> None:
    visited = {episode.speaker for episode in EpisodeSampler(items(a=4, b=3), 2, 2, seed=0).episodes(0, 10)}
    assert visited == {"a"}


def test_more_support_on_the_same_query() -> None:
    corpus = items(a=30, b=30)
    by_support = [first(EpisodeSampler(corpus, support, 4, seed=1), 6) for support in (1, 5, 10, 20)]
    for smaller, larger in itertools.pairwise(by_support):
        for small, large in zip(smaller, larger, strict=True):
            assert (small.speaker, small.query) == (large.speaker, large.query)
            assert small.support == large.support[: len(small.support)]


def test_every_sentence_is_drawn_about_equally_often() -> None:
    episodes = first(EpisodeSampler(items(a=6), 2, 1, seed=0), 3000)
    support = Counter(item.id for episode in episodes for item in episode.support)
    query = Counter(item.id for episode in episodes for item in episode.query)
    # Binomial(3000, 1/3) and (3000, 1/6): standard deviations 26 and 20; five of them.
    assert all(abs(support[f"a-{number}"] - 1000) < 130 for number in range(6))
    assert all(abs(query[f"a-{number}"] - 500) < 102 for number in range(6))


def test_the_episodes_are_those_of_a_full_shuffle_of_the_speakers_and_of_each_speakers_items() -> None:
    """The draws of Python's `sample` of all speakers and of all items of a speaker, as in earlier runs."""
    corpus, seed, support, query = items(a=9, b=31, c=4, d=5), 3, 2, 2
    by_speaker = {name: [item for item in corpus if item.speaker == name] for name in "abcd"}
    for number, episode in enumerate(EpisodeSampler(corpus, support, query, seed).episodes(0, 24)):
        speaker = random.Random(f"{seed}/pass/{number // 4}").sample("abcd", 4)[number % 4]
        items_by_id = sorted(by_speaker[speaker], key=lambda item: item.id)
        shuffled = random.Random(f"{seed}/episode/{number}").sample(items_by_id, len(items_by_id))
        assert episode == Episode(speaker, tuple(shuffled[query : query + support]), tuple(shuffled[:query]))


class Counted(Sequence[Item]):
    """Items that count how often they are read by position and iterated over."""

    def __init__(self, listed: list[Item]) -> None:
        self.listed, self.read, self.iterated = listed, 0, 0

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        assert isinstance(index, int), "an episode reads single items"
        self.read += 1
        return self.listed[index]

    def __iter__(self) -> Iterator[Item]:
        self.iterated += 1
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)


def test_an_episode_reads_only_its_own_items_of_the_corpus() -> None:
    corpus = Counted(items(a=900, b=800, c=700))
    sampler = EpisodeSampler(corpus, 5, 3, seed=0)
    assert (corpus.iterated, corpus.read) == (1, 0)
    for number in range(10):
        sampler.episode(number)
    assert (corpus.iterated, corpus.read) == (1, 10 * 8)


def test_the_time_of_an_episode_does_not_grow_with_the_corpus() -> None:
    """A corpus of 1,000 times as many utterances takes 1,000 times as long to walk."""

    def seconds(utterances: int) -> float:
        corpus = [Item(f"{number}", f"{number % (utterances // 50)}") for number in range(utterances)]
        sampler = EpisodeSampler(corpus, 5, 5, seed=0)
        times = []
        for repeat in range(5):
            started = time.process_time()
            first(sampler, 50, start=50 * repeat)
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(300_000) < 20 * seconds(300)


def test_faults_are_raised_at_the_call_and_not_at_the_first_episode() -> None:
    with pytest.raises(
        UsageError,
        match=r"no speaker has 5 utterances \(3 support \+ 2 query\); the largest number is 4",
    ):
        EpisodeSampler(items(a=4, b=2), 3, 2, seed=0)
    with pytest.raises(UsageError, match="the largest number is 0"):
        EpisodeSampler(items(), 1, 1, seed=0)
    with pytest.raises(UsageError, match="the id 'a-0' is repeated"):
        EpisodeSampler([*items(a=4), Item("a-0", "b")], 1, 1, seed=0)


@pytest.mark.parametrize(("support", "query"), [(0, 1), (1, -1)])
def test_numbers_out_of_range_are_refused(support: int, query: int) -> None:
    with pytest.raises(UsageError, match="episodes need support >= 1"):
        EpisodeSampler(items(a=4), support, query, seed=0)


def test_a_negative_episode_is_refused() -> None:
    with pytest.raises(UsageError, match="episodes are numbered from 0; got -1"):
        EpisodeSampler(items(a=4), 1, 1, seed=0).episode(-1)


def test_no_episodes_asked_for_are_none() -> None:
    assert first(EpisodeSampler(items(a=4), 1, 1, seed=0), 0) == []


def test_episodes_compare_by_what_they_hold() -> None:
    a, b = items(a=2)
    assert Episode("a", (a,), (b,)) == Episode("a", (a,), (b,)) != Episode("a", (b,), (a,))
