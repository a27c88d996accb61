"""The short form of the fuzz tests: a few examples of every target, and tests of `run_target`.

The examples are the same in every run. `python tests/fuzzing.py` runs many more.
"""

from __future__ import annotations

import time

import fuzzing
import pytest
from fuzzing import Target, run_target, targets
from hypothesis import strategies as st

from tts_meta.errors import TtsMetaError

EXAMPLES = 40


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # it would hide the fault
@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_hostile_input_gives_a_correct_result_or_one_line(target: Target) -> None:
    tally = run_target(target, EXAMPLES)
    assert tally.inputs > 0 and not tally.faults


class Unescaped(TtsMetaError):
    """An error that does not escape its message, unlike its base class."""

    def __str__(self) -> str:
        return self.args[0]


def _fail(error: Exception) -> Target:
    def call(value: int) -> None:
        raise error

    return Target("broken", st.integers(), call, seconds=0.2)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (KeyError("steps"), "KeyError"),
        (Unescaped("two\nlines"), "several lines"),
        (Unescaped("\x1b[31mred"), "control characters"),
        (TtsMetaError(""), "no message"),
    ],
)
def test_a_wrong_error_is_a_fault(error: Exception, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        run_target(_fail(error), 1)


def test_a_call_that_computes_too_long_is_a_fault() -> None:
    def call(value: int) -> None:
        end = time.process_time() + 2
        while time.process_time() < end:
            pass

    tally = run_target(Target("slow", st.just(1), call, seconds=0.1), 1, seed=0, stop_early=False)
    assert tally.faults == ["1: longer than 0.1 s"]


def test_a_call_that_waits_too_long_is_a_fault() -> None:
    tally = run_target(
        Target("waits", st.just(1), lambda value: time.sleep(5), seconds=0.05), 1, seed=0, stop_early=False
    )
    assert tally.faults == ["1: longer than 0.05 s"]


def test_a_one_line_error_is_not_a_fault() -> None:
    tally = run_target(_fail(TtsMetaError("voice.safetensors: no voice file; give another")), 5, seed=1)
    assert (tally.accepted, tally.faults) == (0, []) and tally.refused > 0


def test_the_long_form_reports_faults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fuzzing, "targets", lambda: [_fail(ValueError("no"))])
    assert fuzzing.main(["--inputs", "3"]) == 1
    assert "ValueError: no" in capsys.readouterr().out
