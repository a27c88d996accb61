"""Errors of boundaries against closed forms, and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from recipes.librispeech_mini.alignment_boundaries import PAUSE, Boundary, ComparedSentence
from recipes.librispeech_mini.alignment_errors import (
    GROSS_ERROR,
    boundary_errors,
    errors_by_class,
    gross_error_share,
    quantile_interval,
)
from tts_meta.errors import UsageError


def sentences(count: int, late: float, spread: float, seed: int = 0) -> list[ComparedSentence]:
    """Sentences of three speakers. Boundary errors are normal, with mean `late` and deviation `spread`, seconds."""
    random = np.random.default_rng(seed)
    return [
        ComparedSentence(
            str(number),
            f"s{number % 3}",
            tuple(Boundary(float(e), "stop", "vowel", index % 2 == 0, True) for index, e in enumerate(errors)),
        )
        for number, errors in enumerate(random.normal(late, spread, (count, 20)))
    ]


def test_the_errors_that_were_put_in_are_measured() -> None:
    errors = boundary_errors(sentences(300, 0.004, 0.02), lambda boundary: True)
    assert errors.count == 6000
    # The values for |N(4, 20)| ms.
    assert errors.signed_median.mean == pytest.approx(4.0, abs=1.0)
    for interval, truth in (
        (errors.median, 13.75),
        (errors.mean, 16.28),
        (errors.percentile_90, 33.55),
        (errors.within_20_ms, 0.6730),
        (errors.within_50_ms, 0.9859),
    ):
        assert interval.low <= interval.mean <= interval.high
        assert interval.mean == pytest.approx(truth, rel=0.05)


def test_only_the_selected_boundaries_are_measured() -> None:
    assert boundary_errors(sentences(3, 0.0, 0.01), lambda boundary: boundary.at_word_edge).count == 30
    with pytest.raises(UsageError, match="no boundary"):
        boundary_errors(sentences(3, 0.0, 0.01), lambda boundary: False)


def test_the_95_percent_interval_of_a_median_covers_it_in_95_percent_of_draws() -> None:
    covered = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        # Each sentence has an offset of its own, so boundaries are not independent draws.
        groups = [random.normal(random.normal(0, 1), 1, 10) for _ in range(30)]
        interval = quantile_interval(groups, ["one"] * 30, 0.5, seed)
        covered += interval.low <= 0 <= interval.high
    assert 88 <= covered <= 99


def test_a_gross_error_is_one_of_a_word_edge_and_not_of_a_phone() -> None:
    def sentence(id: str, error: float, at_word_edge: bool) -> ComparedSentence:
        return ComparedSentence(
            id, "s", (Boundary(0.0, "stop", "vowel", True, True), Boundary(error, "stop", "vowel", at_word_edge, True))
        )

    share = gross_error_share(
        [
            sentence("a", GROSS_ERROR + 0.01, True),
            sentence("b", GROSS_ERROR + 0.01, False),
            sentence("c", -0.3, True),
            sentence("d", 0.1, True),
        ]
    )
    assert share.mean == 0.5 and share.count == 4


def test_classes_are_listed_worst_first_without_rare_ones() -> None:
    boundaries = [Boundary(0.01, "stop", "vowel", False, True)] * 5 + [Boundary(0.03, PAUSE, "stop", True, True)] * 5
    boundaries += [Boundary(0.2, "nasal", "stop", False, True), Boundary(0.3, "vowel", "vowel", True, False)] * 4
    rows = list(errors_by_class([ComparedSentence("a", "s", tuple(boundaries))], 5))
    assert [(left, right, errors.count) for left, right, errors in rows] == [(PAUSE, "stop", 5), ("stop", "vowel", 5)]
    assert rows[0][2].median.mean == pytest.approx(30.0)
