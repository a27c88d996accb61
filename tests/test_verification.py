"""The equal error rate of pairs of sentences equals the rate of the listed claims, and its interval has known cases."""

from __future__ import annotations

import numpy as np
import pytest

from tts_meta.errors import UsageError
from tts_meta.evaluate.similarity import cosine, equal_error_rate
from tts_meta.evaluate.verification import cohort_mean, pair_error_rate, pair_error_rate_interval


def speakers(count: int, sentences: int, spread: float) -> dict[str, np.ndarray]:
    """Embeddings of sentences, which differ by `spread` from the embedding of the speaker."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((count, 1, 16))
    rows = centres + spread * draw.standard_normal((count, sentences, 16))
    return {f"s{number}": row.astype(np.float32) for number, row in enumerate(rows)}


def test_the_rate_of_pairs_is_the_equal_error_rate_of_all_claims() -> None:
    embeddings = speakers(5, 4, 1.0)
    rows = [(name, row) for name, group in embeddings.items() for row in group]
    pairs = [(a == b, cosine(x, y)) for index, (a, x) in enumerate(rows) for b, y in rows[index + 1 :]]
    same, other = ([value for own, value in pairs if own is kind] for kind in (True, False))
    assert len(same) == 5 * 6 and len(other) == 10 * 16
    expected = equal_error_rate(same, other)
    assert 0.05 < expected < 0.45
    assert pair_error_rate(embeddings) == pytest.approx(expected, abs=1e-6)


def test_separate_speakers_have_no_errors_and_equal_speakers_half() -> None:
    separate = pair_error_rate_interval(speakers(4, 3, 0.01))
    assert (separate.mean, separate.low, separate.high, separate.count) == (0, 0, 0, 12)
    equal = {"a": np.eye(3, dtype=np.float32)[:2], "b": np.eye(3, dtype=np.float32)[:2]}
    # The true claims have the cosine 0. Half of the false claims have the cosine 1, and half the cosine 0.
    assert pair_error_rate(equal) == pytest.approx(2 / 3)
    assert pair_error_rate({"a": np.ones((4, 2), np.float32), "b": np.ones((4, 2), np.float32)}) == pytest.approx(0.5)


def test_the_interval_contains_the_rate_and_is_that_of_the_seed() -> None:
    embeddings = speakers(8, 5, 1.0)
    interval = pair_error_rate_interval(embeddings)
    assert interval.low < interval.mean < interval.high
    assert interval == pair_error_rate_interval(embeddings) != pair_error_rate_interval(embeddings, seed=1)


def test_gain_of_an_embedding_does_not_change_the_rate() -> None:
    embeddings = speakers(5, 4, 1.0)
    louder = {name: 7 * rows for name, rows in embeddings.items()}
    assert pair_error_rate(louder) == pytest.approx(pair_error_rate(embeddings), abs=1e-6)


@pytest.mark.parametrize("embeddings", [{"a": np.ones((3, 2))}, {"a": np.ones((1, 2)), "b": np.ones((1, 2))}])
def test_too_few_sentences_are_an_error(embeddings: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="two speakers, one of them with two sentences; give more"):
        pair_error_rate_interval(embeddings)


def test_each_speaker_has_the_same_weight_in_the_mean_of_a_cohort() -> None:
    cohort = {"many": np.tile(np.array([[1, 0]], np.float32), (9, 1)), "one": np.array([[0, 1]], np.float32)}
    np.testing.assert_array_equal(cohort_mean(cohort), np.array([0.5, 0.5], np.float32))
