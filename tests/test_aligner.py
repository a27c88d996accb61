"""The aligner: its path equals exhaustive search, and its costs and probabilities equal closed forms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers import tiny_base
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.errors import TtsMetaError
from tts_meta.models.aligner import Aligner, best_path, loudness, loudness_cost


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores `(T, N)`, and bool `(N,)`: which positions can be skipped. At least one cannot."""
    positions = draw(st.integers(1, 5))
    skippable = np.array(draw(st.lists(st.booleans(), min_size=positions, max_size=positions)))
    if skippable.all():
        skippable[draw(st.integers(0, positions - 1))] = False
    frames = draw(st.integers(positions, 7))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    return random.normal(size=(frames, positions)), skippable


def all_paths(frames: int, skippable: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Every allowed path by definition: monotonic, and each step leaves out at most one position, a skippable one."""
    spoken = np.flatnonzero(~skippable)
    for path in itertools.combinations_with_replacement(range(len(skippable)), frames):
        steps = np.diff(path)
        skipped = [position + 1 for position, step in zip(path, steps, strict=False) if step == 2]
        if path[0] <= spoken[0] and path[-1] >= spoken[-1] and (steps <= 2).all() and skippable[skipped].all():
            yield path


@given(problems())
def test_the_best_path_has_the_highest_score_of_all_allowed_paths(problem: tuple[np.ndarray, np.ndarray]) -> None:
    scores, skippable = problem
    frames = np.arange(len(scores))
    path = best_path(scores, skippable)
    allowed = list(all_paths(len(scores), skippable))
    assert tuple(path) in allowed
    best = max(scores[frames, list(other)].sum() for other in allowed)
    assert scores[frames, path].sum() == pytest.approx(best)


@given(problems())
def test_every_phone_has_a_frame(problem: tuple[np.ndarray, np.ndarray]) -> None:
    scores, skippable = problem
    assert set(np.flatnonzero(~skippable)) <= set(best_path(scores, skippable))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_an_unambiguous_path_is_found_exactly(durations: list[int]) -> None:
    truth = np.repeat(np.arange(len(durations)), durations)
    scores = np.where(truth[:, None] == np.arange(len(durations)), 0.0, -5.0)
    assert (best_path(scores, np.zeros(len(durations), bool)) == truth).all()


def test_a_pause_with_low_scores_gets_no_frame() -> None:
    skippable = np.array([True, False, True, False, True])
    scores = np.where(skippable, -9.0, 0.0) * np.ones((6, 1))
    assert set(best_path(scores, skippable)) == {1, 3}


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return tiny_base().aligner


@pytest.mark.parametrize("frames", [20, 21])
def test_log_probabilities_sum_to_one_for_every_frame(aligner: Aligner, frames: int) -> None:
    log_probs = aligner(torch.randn(2, frames, 80) - 5, torch.tensor([frames, frames - 3]))
    assert log_probs.shape == (2, frames, len(aligner.log_prior))
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, frames))


def test_log_probabilities_do_not_depend_on_a_constant_spectral_tilt(aligner: Aligner) -> None:
    mel = torch.randn(1, 20, 80)
    tilt = torch.linspace(-3, 3, 80)
    length = torch.tensor([20])
    torch.testing.assert_close(aligner(mel, length), aligner(mel + tilt, length), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [20, 21])
@pytest.mark.parametrize("padding", [1, 2, 13])
def test_log_probabilities_do_not_depend_on_the_padding(aligner: Aligner, frames: int, padding: int) -> None:
    mel, length = torch.randn(1, frames, 80), torch.tensor([frames])
    padded = torch.nn.functional.pad(mel, (0, 0, 0, padding), value=-11.5)
    torch.testing.assert_close(aligner(padded, length)[:, :frames], aligner(mel, length), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [9, 40, 41])
def test_durations_cover_every_frame_and_give_each_phone_at_least_one(frames: int) -> None:
    base = tiny_base()
    tokens = base.symbols.encode("abc de, fg.")
    mel = torch.randn(frames, 80, generator=torch.Generator().manual_seed(frames)) - 5
    alignment = base.aligner.align(mel, tokens, base.kinds)
    assert alignment.durations.shape == tokens.shape and alignment.durations.dtype == torch.int64
    assert int(alignment.durations.sum()) == frames
    assert (alignment.durations[~base.silent[tokens]] >= 1).all()
    assert -20 < alignment.score < 0


def test_a_recording_that_is_too_short_for_its_transcript_is_an_error_with_its_name() -> None:
    base = tiny_base()
    with pytest.raises(TtsMetaError, match=r"^a\.wav: too short for its transcript"):
        base.aligner.align(torch.randn(6, 80), base.symbols.encode("abc defg"), base.kinds, "a.wav")


def test_a_score_matches_unless_it_is_far_below_the_training_scores() -> None:
    aligner = tiny_base().aligner
    aligner.score_range.copy_(torch.tensor([-1.4, -0.4]))
    assert aligner.matches(-0.1) and aligner.matches(-0.4) and aligner.matches(-1.4)
    assert aligner.matches(-1.89, 1.5) and not aligner.matches(-1.91, 1.5)
    assert aligner.matches(-2.89) and not aligner.matches(-2.91)


def test_pauses_cost_in_loud_frames_and_vowels_in_quiet_frames() -> None:
    symbols = tiny_base().symbols
    tokens = symbols.encode("b a")
    mel = torch.full((20, 80), -3.0)
    mel[:5] = -8.0
    cost = loudness_cost(loudness(mel), tokens, symbols.kinds())
    start, consonant, boundary, vowel, end = cost.T
    for pause in (start, boundary, end):
        assert (pause[:5] == 0).all() and (pause[5:] > 3).all()
    assert (vowel[:5] > 3).all() and (vowel[5:] == 0).all() and (consonant == 0).all()
    torch.testing.assert_close(loudness_cost(loudness(mel + 2.0), tokens, symbols.kinds()), cost)


def test_a_pause_is_found_although_the_classifier_predicts_another_punctuation_mark() -> None:
    base = tiny_base()
    tokens = base.symbols.encode("b, c")
    comma, stop = (base.symbols.symbols.index(mark) + 1 for mark in (",", "."))
    likely = [int(tokens[1])] * 6 + [stop] * 8 + [int(tokens[3])] * 6
    logits = torch.zeros(1, 20, len(base.aligner.log_prior))
    logits[0, torch.arange(20), torch.tensor(likely)] = 8.0
    mel = torch.full((20, 80), -3.0)
    mel[6:14] = -8.0
    base.aligner.forward = lambda mel, mel_lengths: logits.log_softmax(-1)
    assert comma == int(tokens[2])
    assert base.aligner.align(mel, tokens, base.kinds).durations.tolist() == [0, 6, 8, 6, 0]
