from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.corpus import Episode, sample_episodes
from tts_meta.errors import UsageError


@dataclass(frozen=True)
class Item:
    id: str
    speaker: str


def items(**counts: int) -> list[Item]:
    return [Item(f"{speaker}-{number}", speaker) for speaker, count in counts.items() for number in range(count)]


COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1)


@given(COUNTS, st.integers(1, 5), st.integers(0, 5), st.integers())
def test_an_episode_is_of_one_speaker_and_never_scores_on_what_it_adapts_on(
    counts: dict[str, int], support: int, query: int, seed: int
) -> None:
    if max(counts.values()) < support + query:
        with pytest.raises(UsageError, match=f"no speaker has {support + query} utterances"):
            sample_episodes(items(**counts), support, query, 4, seed)
        return
    episodes = list(sample_episodes(items(**counts), support, query, 4, seed))
    assert len(episodes) == 4
    for episode in episodes:
        drawn = episode.support + episode.query
        assert (len(episode.support), len(episode.query)) == (support, query)
        assert len({item.id for item in drawn}) == support + query
        assert {item.speaker for item in drawn} == {episode.speaker}


def test_the_sequence_follows_the_seed_and_not_the_order_of_the_items() -> None:
    corpus = items(a=6, b=6, c=6)
    first = list(sample_episodes(corpus, 2, 2, 20, seed=7))
    assert list(sample_episodes(corpus[::-1], 2, 2, 20, seed=7)) == first
    assert list(sample_episodes(corpus, 2, 2, 20, seed=8)) != first


def test_a_resumed_run_goes_on_where_it_stopped() -> None:
    corpus = items(a=6, b=6, c=6)
    episodes = list(sample_episodes(corpus, 2, 2, 20, seed=7))
    assert list(sample_episodes(corpus, 2, 2, 13, seed=7, start=7)) == episodes[7:]
    assert list(itertools.islice(sample_episodes(corpus, 2, 2, None, seed=7, start=7), 13)) == episodes[7:]


def test_each_pass_visits_every_speaker_once_in_an_order_of_its_own() -> None:
    visited = [episode.speaker for episode in sample_episodes(items(a=4, b=4, c=4, d=4), 1, 1, 40, seed=0)]
    passes = [tuple(visited[place : place + 4]) for place in range(0, 40, 4)]
    assert all(sorted(one_pass) == ["a", "b", "c", "d"] for one_pass in passes)
    assert len(set(passes)) > 3


def test_a_speaker_with_too_few_sentences_is_left_out() -> None:
    visited = {episode.speaker for episode in sample_episodes(items(a=4, b=3), 2, 2, 10, seed=0)}
    assert visited == {"a"}


def test_more_support_on_the_same_query() -> None:
    corpus = items(a=30, b=30)
    by_support = [list(sample_episodes(corpus, support, 4, 6, seed=1)) for support in (1, 5, 10, 20)]
    for smaller, larger in itertools.pairwise(by_support):
        for small, large in zip(smaller, larger, strict=True):
            assert (small.speaker, small.query) == (large.speaker, large.query)
            assert small.support == large.support[: len(small.support)]


def test_every_sentence_is_drawn_about_equally_often() -> None:
    episodes = list(sample_episodes(items(a=6), 2, 1, 3000, seed=0))
    support = Counter(item.id for episode in episodes for item in episode.support)
    query = Counter(item.id for episode in episodes for item in episode.query)
    # Binomial(3000, 1/3) and (3000, 1/6): standard deviations 26 and 20; five of them.
    assert all(abs(support[f"a-{number}"] - 1000) < 130 for number in range(6))
    assert all(abs(query[f"a-{number}"] - 500) < 102 for number in range(6))


def test_faults_are_raised_at_the_call_and_not_at_the_first_episode() -> None:
    with pytest.raises(
        UsageError,
        match=r"no speaker has 5 utterances \(3 support \+ 2 query\); the largest number is 4",
    ):
        sample_episodes(items(a=4, b=2), 3, 2, 1, seed=0)
    with pytest.raises(UsageError, match="the largest number is 0"):
        sample_episodes(items(), 1, 1, 1, seed=0)
    with pytest.raises(UsageError, match="the id 'a-0' is repeated"):
        sample_episodes([*items(a=4), Item("a-0", "b")], 1, 1, 1, seed=0)


@pytest.mark.parametrize(
    ("support", "query", "count", "start"),
    [(0, 1, 1, 0), (1, -1, 1, 0), (1, 1, -1, 0), (1, 1, 1, -1)],
)
def test_numbers_out_of_range_are_refused(support: int, query: int, count: int, start: int) -> None:
    with pytest.raises(UsageError, match="episodes need support >= 1"):
        sample_episodes(items(a=4), support, query, count, seed=0, start=start)


def test_no_episodes_asked_for_are_none() -> None:
    assert list(sample_episodes(items(a=4), 1, 1, 0, seed=0)) == []


def test_episodes_compare_by_what_they_hold() -> None:
    a, b = items(a=2)
    assert Episode("a", (a,), (b,)) == Episode("a", (a,), (b,)) != Episode("a", (b,), (a,))
