"""When the inner loop stops automatically: on a constant, rising, falling or short objective."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tts_meta.adapt.settle import CHECK_EVERY, Settling


def run(objective: Callable[[int], float], most: int = 1000) -> tuple[Settling, list[float]]:
    """The settling after a whole loop, and the step size of each step."""
    settling, rates, step = Settling(0.1, most), [], 0
    while not settling.finished(step):
        if settling.wants(step):
            settling.saw(step, objective(step))
        rate = settling.rate(step)
        assert isinstance(rate, float)
        rates.append(rate)
        step += 1
    return settling, rates


@pytest.mark.parametrize("value", [0.0, 7.5, -1e9])
def test_a_constant_objective_has_settled_at_the_second_look(value: float) -> None:
    settling, rates = run(lambda step: value)
    assert (settling.turn, settling.end) == (25, 50)
    assert settling.reason == "the 25 steps gained nothing; 25 shorter and shorter ones followed"
    assert rates == pytest.approx([0.1] * 25 + [0.1 * (1 - n / 25) for n in range(25)])


def test_an_objective_that_only_rises_has_settled_too() -> None:
    settling, _ = run(lambda step: float(step))
    assert settling.end == 50 and settling.reason.startswith("the 25 steps gained nothing")


def test_an_objective_that_rose_and_is_on_its_way_back_has_not_settled() -> None:
    looks = iter([10.0, 50.0, 30.0, 0.0, 0.0])
    settling = Settling(0.1, 1000)
    settling.saw(0, next(looks))
    settling.objectives.append(next(looks))  # it rose at the first look, and the loop went on
    settling.saw(50, next(looks))
    assert settling.turn == 1000
    settling.saw(75, next(looks))
    assert settling.turn == 1000
    settling.saw(100, next(looks))
    assert (settling.turn, settling.end) == (100, 150)
    assert settling.reason.startswith("the last 25 of 100 steps gained 0.0% of what all had; 50 shorter")


@pytest.mark.parametrize("gain, settles", [(0.0201, False), (0.0199, True)])
def test_steps_that_gain_two_hundredths_of_all_go_on(gain: float, settles: bool) -> None:
    settling = Settling(0.1, 10_000)
    total = 100 / (1 - gain)  # so that the last look's part of all is `gain`
    for step, objective in ((0, total), (25, total - 100), (50, 0.0)):
        settling.saw(step, objective)
    assert (settling.turn == 50) == settles


@pytest.mark.parametrize("most", [1, 10, CHECK_EVERY, CHECK_EVERY + 1, 40, 60, 100])
@pytest.mark.parametrize("slope", [0.0, 1.0, -1.0])
def test_a_loop_of_few_steps_ends_in_time_with_step_sizes_that_are_none_too_long(most: int, slope: float) -> None:
    settling, rates = run(lambda step: -slope * step, most)
    assert 0 < len(rates) <= most
    assert all(math.isfinite(rate) and 0 <= rate <= 0.1 for rate in rates)
    assert rates == sorted(rates, reverse=True)
    assert settling.turn == most or settling.rate(settling.end) == 0


def test_a_loop_that_gains_to_the_end_says_so() -> None:
    settling, rates = run(lambda step: -float(step), 300)
    assert settling.end == len(rates) == 300 and settling.turn == 200
    assert settling.reason == "the most steps are done, and the last 25 still gained 12.5%"


def test_an_objective_that_is_not_a_number_ends_the_loop() -> None:
    settling, _ = run(lambda step: math.nan)
    assert settling.end == 50 and settling.reason.startswith("the 25 steps gained nothing")
