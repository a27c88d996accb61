"""When the inner loop stops automatically: on a constant, rising, falling or short objective."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tts_meta.meta.solvers.stopping import CHECK_INTERVAL, PlateauStop


def run(objective: Callable[[int], float], max_steps: int = 1000) -> tuple[PlateauStop, list[float]]:
    """The stopping rule after a complete loop, and the learning rate of each step."""
    plateau, learning_rates, step = PlateauStop(0.1, max_steps), [], 0
    while not plateau.finished(step):
        if plateau.should_check(step):
            plateau.update(step, objective(step))
        learning_rate = plateau.learning_rate(step)
        assert isinstance(learning_rate, float)
        learning_rates.append(learning_rate)
        step += 1
    return plateau, learning_rates


@pytest.mark.parametrize("value", [0.0, 7.5, -1e9])
def test_a_constant_objective_is_a_plateau_at_the_second_check(value: float) -> None:
    plateau, learning_rates = run(lambda step: value)
    assert (plateau.decay_start, plateau.end) == (10, 20)
    assert plateau.reason == (
        "the objective did not fall in the first 10 steps; the learning rate then decayed to zero over 10 steps"
    )
    assert learning_rates == pytest.approx([0.1] * 10 + [0.1 * (1 - n / 10) for n in range(10)])


def test_an_objective_that_only_rises_is_a_plateau_too() -> None:
    plateau, _ = run(lambda step: float(step))
    assert plateau.end == 20 and plateau.reason.startswith("the objective did not fall in the first 10 steps")


def test_an_objective_that_rose_and_falls_again_is_no_plateau() -> None:
    objectives = iter([10.0, 50.0, 30.0, 0.0, 0.0])
    plateau = PlateauStop(0.1, 1000)
    plateau.update(0, next(objectives))
    plateau.objectives.append(next(objectives))  # it rose at the first check, and the loop continued
    plateau.update(20, next(objectives))
    assert plateau.decay_start == 1000
    plateau.update(30, next(objectives))
    assert plateau.decay_start == 1000
    plateau.update(40, next(objectives))
    assert (plateau.decay_start, plateau.end) == (40, 60)
    assert plateau.reason.startswith("steps 30 to 40 gave 0.0% of the reduction of the objective; ")


@pytest.mark.parametrize("fraction, stops", [(0.101, False), (0.099, True)])
def test_steps_with_ten_percent_of_the_total_reduction_continue_the_loop(fraction: float, stops: bool) -> None:
    plateau = PlateauStop(0.1, 10_000)
    total = 100 / (1 - fraction)  # the last interval gives `fraction` of the total reduction
    for step, objective in ((0, total), (10, total - 100), (20, 0.0)):
        plateau.update(step, objective)
    assert (plateau.decay_start == 20) == stops


@pytest.mark.parametrize("max_steps", [1, 10, CHECK_INTERVAL, CHECK_INTERVAL + 1, 40, 60, 100])
@pytest.mark.parametrize("slope", [0.0, 1.0, -1.0])
def test_a_loop_of_few_steps_stops_in_time_with_falling_learning_rates(max_steps: int, slope: float) -> None:
    plateau, learning_rates = run(lambda step: -slope * step, max_steps)
    assert 0 < len(learning_rates) <= max_steps
    assert all(math.isfinite(rate) and 0 <= rate <= 0.1 for rate in learning_rates)
    assert learning_rates == sorted(learning_rates, reverse=True)
    assert plateau.decay_start == max_steps or plateau.learning_rate(plateau.end) == 0


def test_a_loop_that_reaches_the_maximum_reports_it() -> None:
    plateau, learning_rates = run(lambda step: -float(2**step), 90)
    assert plateau.end == len(learning_rates) == 90 and plateau.decay_start == 60
    assert plateau.reason == (
        "the maximum number of steps was reached; steps 50 to 60 gave 99.9% of the reduction of the objective"
    )


def test_an_objective_of_nan_stops_the_loop() -> None:
    plateau, _ = run(lambda step: math.nan)
    assert plateau.end == 20 and plateau.reason.startswith("the objective did not fall in the first 10 steps")


def test_the_learning_rate_decays_after_the_objective_reaches_a_plateau() -> None:
    plateau = PlateauStop(0.1, max_steps=1000)
    for step, objective in ((0, 1000.0), (10, 500.0), (20, 400.0), (30, 399.0)):
        assert plateau.should_check(step) and not plateau.finished(step) and plateau.learning_rate(step) == 0.1
        plateau.update(step, objective)
    assert (plateau.decay_start, plateau.end) == (30, 45) and not plateau.should_check(40)
    assert plateau.reason == (
        "steps 20 to 30 gave 0.2% of the reduction of the objective; "
        "the learning rate then decayed to zero over 15 steps"
    )
    assert plateau.learning_rate(36) == pytest.approx(0.06) and plateau.finished(45) and not plateau.finished(44)


def test_a_loop_without_a_plateau_stops_at_the_maximum() -> None:
    plateau = PlateauStop(0.1, max_steps=300)
    objectives = {step: 1000.0 - 2.0**step for step in range(0, 301, CHECK_INTERVAL)}
    step = 0
    while not plateau.finished(step):
        if plateau.should_check(step):
            plateau.update(step, objectives[step])
        step += 1
    assert step == plateau.end <= 300 and plateau.learning_rate(step - 1) < 0.1
    assert plateau.reason.startswith("the maximum number of steps was reached; steps ")
