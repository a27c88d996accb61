"""Bootstrap intervals agree with the closed forms of the normal case."""

from __future__ import annotations

import numpy as np
import pytest

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval, mean_interval, paired_difference


def clustered(seed: int, speakers: int, sentences: int, between: float, within: float):
    """Values (N,) and speakers (N,) of a two-level normal model with mean 0."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0, between, (speakers, 1)) + generator.normal(0, within, (speakers, sentences))
    return values.ravel(), [f"s{index}" for index in range(speakers) for _ in range(sentences)]


def test_one_sentence_per_speaker_gives_the_standard_error_of_the_mean():
    values, speakers = clustered(0, 200, 1, 1.0, 1.0)
    interval = mean_interval(values, speakers)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(200), rel=0.07)
    assert interval.count == 200


def test_the_coverage_of_the_interval_is_its_level():
    covered = 0
    for seed in range(200):
        interval = mean_interval(*clustered(seed, 20, 5, 1.0, 1.0), seed=seed)
        covered += interval.low <= 0 <= interval.high
    assert 0.90 <= covered / 200 <= 0.99


def test_similar_sentences_of_few_speakers_widen_the_interval():
    values, speakers = clustered(1, 10, 50, 1.0, 0.1)
    by_speaker = mean_interval(values, speakers)
    by_sentence = mean_interval(values, [str(index) for index in range(len(values))])
    assert by_speaker.high - by_speaker.low > 4 * (by_sentence.high - by_sentence.low)


def test_one_speaker_still_has_an_interval_over_sentences():
    values, speakers = clustered(2, 1, 100, 0.0, 1.0)
    interval = mean_interval(values, speakers)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)


def test_weights_pool_rates_and_a_weight_of_two_counts_twice():
    # 1 error of 2 words and 0 of 8: 1 in 10, not the mean of the two rates.
    assert mean_interval([0.5, 0.0], ["a", "a"], weights=[2, 8]).mean == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_interval_and_another_seed_a_similar_one():
    values, speakers = clustered(3, 6, 10, 1.0, 1.0)
    assert mean_interval(values, speakers, seed=1) == mean_interval(values, speakers, seed=1)
    one, two = mean_interval(values, speakers, seed=1), mean_interval(values, speakers, seed=2)
    assert one != two
    assert one.low == pytest.approx(two.low, abs=0.1)


def test_the_interval_of_a_higher_level_is_wider():
    values, speakers = clustered(4, 6, 10, 1.0, 1.0)
    narrow, wide = mean_interval(values, speakers, level=0.5), mean_interval(values, speakers, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_interval_of_a_constant_has_width_zero():
    assert mean_interval([2.0] * 4, list("aabb")) == Interval(2.0, 2.0, 2.0, 4)


def test_pairing_detects_a_small_difference_under_large_variation():
    values, speakers = clustered(5, 6, 10, 1.0, 1.0)
    better = values + 0.1 + np.random.default_rng(0).normal(0, 0.05, values.shape)
    difference = paired_difference(better, values, speakers)
    assert 0.05 < difference.low < difference.mean < difference.high < 0.15
    assert mean_interval(better, speakers).low < mean_interval(values, speakers).high


@pytest.mark.parametrize(
    ("values", "speakers", "weights"), [([], [], None), ([1.0], ["a", "b"], None), ([1.0], ["a"], [1, 2])]
)
def test_values_that_do_not_match_are_refused(values, speakers, weights):
    with pytest.raises(UsageError, match="one speaker and one weight"):
        mean_interval(values, speakers, weights)


def test_a_pair_of_different_lengths_is_refused():
    with pytest.raises(UsageError, match="two scores of each sentence"):
        paired_difference([1.0], [1.0, 2.0], ["a"])
