"""When the inner loop stops automatically: on a constant, rising, falling or short objective."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tts_meta.adapt.early_stopping import CHECK_EVERY, PlateauStop


def run(objective: Callable[[int], float], most: int = 1000) -> tuple[PlateauStop, list[float]]:
    """The settling after a whole loop, and the step size of each step."""
    plateau, rates, step = PlateauStop(0.1, most), [], 0
    while not plateau.finished(step):
        if plateau.should_check(step):
            plateau.update(step, objective(step))
        rate = plateau.rate(step)
        assert isinstance(rate, float)
        rates.append(rate)
        step += 1
    return plateau, rates


@pytest.mark.parametrize("value", [0.0, 7.5, -1e9])
def test_a_constant_objective_has_settled_at_the_second_look(value: float) -> None:
    plateau, rates = run(lambda step: value)
    assert (plateau.turn, plateau.end) == (25, 50)
    assert plateau.reason == "the 25 steps gained nothing; 25 shorter and shorter ones followed"
    assert rates == pytest.approx([0.1] * 25 + [0.1 * (1 - n / 25) for n in range(25)])


def test_an_objective_that_only_rises_has_settled_too() -> None:
    plateau, _ = run(lambda step: float(step))
    assert plateau.end == 50 and plateau.reason.startswith("the 25 steps gained nothing")


def test_an_objective_that_rose_and_is_on_its_way_back_has_not_settled() -> None:
    looks = iter([10.0, 50.0, 30.0, 0.0, 0.0])
    plateau = PlateauStop(0.1, 1000)
    plateau.update(0, next(looks))
    plateau.objectives.append(next(looks))  # it rose at the first look, and the loop went on
    plateau.update(50, next(looks))
    assert plateau.turn == 1000
    plateau.update(75, next(looks))
    assert plateau.turn == 1000
    plateau.update(100, next(looks))
    assert (plateau.turn, plateau.end) == (100, 150)
    assert plateau.reason.startswith("the last 25 of 100 steps gained 0.0% of what all had; 50 shorter")


@pytest.mark.parametrize("gain, settles", [(0.0201, False), (0.0199, True)])
def test_steps_that_gain_two_hundredths_of_all_go_on(gain: float, settles: bool) -> None:
    plateau = PlateauStop(0.1, 10_000)
    total = 100 / (1 - gain)  # so that the last look's part of all is `gain`
    for step, objective in ((0, total), (25, total - 100), (50, 0.0)):
        plateau.update(step, objective)
    assert (plateau.turn == 50) == settles


@pytest.mark.parametrize("most", [1, 10, CHECK_EVERY, CHECK_EVERY + 1, 40, 60, 100])
@pytest.mark.parametrize("slope", [0.0, 1.0, -1.0])
def test_a_loop_of_few_steps_ends_in_time_with_step_sizes_that_are_none_too_long(most: int, slope: float) -> None:
    plateau, rates = run(lambda step: -slope * step, most)
    assert 0 < len(rates) <= most
    assert all(math.isfinite(rate) and 0 <= rate <= 0.1 for rate in rates)
    assert rates == sorted(rates, reverse=True)
    assert plateau.turn == most or plateau.rate(plateau.end) == 0


def test_a_loop_that_gains_to_the_end_says_so() -> None:
    plateau, rates = run(lambda step: -float(step), 300)
    assert plateau.end == len(rates) == 300 and plateau.turn == 200
    assert plateau.reason == "the most steps are done, and the last 25 still gained 12.5%"


def test_an_objective_that_is_not_a_number_ends_the_loop() -> None:
    plateau, _ = run(lambda step: math.nan)
    assert plateau.end == 50 and plateau.reason.startswith("the 25 steps gained nothing")
