"""Errors of the boundaries of many sentences, with 95 % intervals over speakers and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes.librispeech_mini.alignment_boundaries import Boundary, ComparedSentence
from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval, mean_interval

GROSS_ERROR = 0.25
"""Seconds. A sentence has a gross error if a word starts or ends more than this from its place in the reference.

Most words are shorter, so the aligner then takes a part of another word for this word.
"""


@dataclass(frozen=True)
class BoundaryErrors:
    """Errors of many boundaries in milliseconds, and shares, each with its interval."""

    count: int
    median: Interval
    mean: Interval
    percentile_90: Interval
    within_20_ms: Interval
    within_50_ms: Interval
    signed_median: Interval
    """Positive if our boundaries are late."""


def boundary_errors(
    sentences: Sequence[ComparedSentence], keep: Callable[[Boundary], bool], seed: int = 0
) -> BoundaryErrors:
    """The errors of the boundaries that `keep` selects. Raises UsageError if it selects none.

    The bootstrap draws sentences and not boundaries, because the errors within one sentence depend on each other.
    """
    selected = [(sentence.speaker, _errors(sentence, keep)) for sentence in sentences]
    selected = [(speaker, errors) for speaker, errors in selected if errors.size]
    if not selected:
        raise UsageError("no boundary to measure; compare at least one sentence")
    speakers = [speaker for speaker, _ in selected]
    signed = [1000 * errors for _, errors in selected]
    absolute = [np.abs(errors) for errors in signed]
    counts = [errors.size for errors in signed]

    def share_below(limit: float) -> Interval:
        return mean_interval([float((errors < limit).mean()) for errors in absolute], speakers, counts, seed=seed)

    return BoundaryErrors(
        count=sum(counts),
        median=quantile_interval(absolute, speakers, 0.5, seed),
        mean=mean_interval([float(errors.mean()) for errors in absolute], speakers, counts, seed=seed),
        percentile_90=quantile_interval(absolute, speakers, 0.9, seed),
        within_20_ms=share_below(20.0),
        within_50_ms=share_below(50.0),
        signed_median=quantile_interval(signed, speakers, 0.5, seed),
    )


def quantile_interval(
    groups: Sequence[npt.NDArray[np.float64]], speakers: Sequence[str], level: float, seed: int = 0
) -> Interval:
    """The quantile at `level` of all values, with its 95 % interval. `groups`: the values of each sentence.

    Woodruff 1952: the share of values below the quantile is a mean. The interval of this share is converted back to
    quantiles.
    """
    values = np.concatenate(groups)
    quantile = float(np.quantile(values, level))
    counts = [group.size for group in groups]
    # Values equal to the quantile count half, because times are whole frames and many values are equal to it.
    below = [float(((group < quantile) + 0.5 * (group == quantile)).mean()) for group in groups]
    share = mean_interval(below, speakers, counts, seed=seed)
    low, high = (min(max(level + bound - share.mean, 0.0), 1.0) for bound in (share.low, share.high))
    return Interval(quantile, float(np.quantile(values, low)), float(np.quantile(values, high)), values.size)


def gross_error_share(sentences: Sequence[ComparedSentence], limit: float = GROSS_ERROR, seed: int = 0) -> Interval:
    """The share of sentences in which a word starts or ends more than `limit` seconds from the reference."""
    return mean_interval(
        [float(sentence.worst_word_edge > limit) for sentence in sentences],
        [sentence.speaker for sentence in sentences],
        seed=seed,
    )


def errors_by_class(sentences: Sequence[ComparedSentence], min_count: int) -> Iterator[tuple[str, str, BoundaryErrors]]:
    """Errors by the phone classes on both sides, largest median first. Rarer pairs than `min_count` are left out."""
    counts = Counter(
        (boundary.left, boundary.right)
        for sentence in sentences
        for boundary in sentence.boundaries
        if boundary.phones_paired
    )
    rows = []
    for pair, count in sorted(counts.items()):
        if count >= min_count:

            def of_pair(boundary: Boundary, pair: tuple[str, str] = pair) -> bool:
                return boundary.phones_paired and (boundary.left, boundary.right) == pair

            rows.append((*pair, boundary_errors(sentences, of_pair)))
    yield from sorted(rows, key=lambda row: -row[2].median.mean)


def _errors(sentence: ComparedSentence, keep: Callable[[Boundary], bool]) -> npt.NDArray[np.float64]:
    return np.array([boundary.error for boundary in sentence.boundaries if keep(boundary)])
