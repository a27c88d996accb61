"""`Target` and `run_target` of the fuzz tests, and the command for the long form.

Every public reader gets hostile or damaged input. Each input must give a correct result or a one-line `TtsMetaError`
within a time limit. Any other exception, and any input that takes longer, is a fault.

A module `fuzz_<area>.py` in this folder lists its readers in `TARGETS`. `test_fuzz.py` runs a few examples of each
target. The long form runs many and prints one line per target:

    python tests/fuzzing.py --inputs 20000
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.strategies import SearchStrategy

from tts_meta.errors import TtsMetaError

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Target:
    """A reader under test.

    strategy: generates inputs. call: passes an input to the reader and checks the result; it may raise `TtsMetaError`.
    seconds: time limit for one input.
    """

    name: str
    strategy: SearchStrategy[Any]
    call: Callable[[Any], object]
    seconds: float = 2.0


@dataclass
class Tally:
    """Results of the inputs of one target."""

    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.accepted + self.refused + len(self.faults)


class Hang(BaseException):
    """Raised within a call that takes too long. It is not an Exception, so that no reader catches it."""


def targets() -> list[Target]:
    """Return all targets, sorted by module name. Raises ValueError if two targets have the same name."""
    all_targets = [
        target for path in sorted(HERE.glob("fuzz_*.py")) for target in importlib.import_module(path.stem).TARGETS
    ]
    names = [target.name for target in all_targets]
    if len(names) != len(set(names)):
        raise ValueError(f"two fuzz targets have the same name: {sorted(names)}")
    return all_targets


def run_target(target: Target, inputs: int, seed: int | None = None, stop_early: bool = True) -> Tally:
    """Run the target on `inputs` examples.

    seed: None generates the same examples in every run. stop_early: raise the first fault as AssertionError with the
    smallest input that hypothesis finds; otherwise the tally collects all faults.
    """
    tally = Tally()

    def once(value: Any) -> None:
        try:
            accepted, seconds = _outcome(target, value)
        except AssertionError as fault:
            if stop_early:
                raise
            tally.faults.append(f"{_shown(value)}: {fault}")
            return
        tally.accepted += accepted
        tally.refused += not accepted
        tally.slowest = max(tally.slowest, seconds)

    settings = hypothesis.settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        phases=(Phase.generate, Phase.shrink) if stop_early else (Phase.generate,),
    )
    test = settings(hypothesis.given(target.strategy)(once))
    (test if seed is None else hypothesis.seed(seed)(test))()
    return tally


def _outcome(target: Target, value: Any) -> tuple[bool, float]:
    """Return whether the input was accepted, and its seconds. Raises AssertionError for a fault."""
    start = time.perf_counter()
    try:
        with _limit(target.seconds):
            target.call(value)
        accepted = True
    except TtsMetaError as error:
        message = str(error)
        assert message.strip(), "the error has no message"
        assert len(message.splitlines()) == 1, f"the message has several lines: {message!r}"
        assert message.isprintable(), f"the message holds control characters: {message!r}"
        assert len(message) < 2000, f"the message has {len(message)} characters"
        accepted = False
    except AssertionError:
        raise
    except Hang:
        raise AssertionError(f"longer than {target.seconds:g} s") from None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    return accepted, time.perf_counter() - start


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise Hang in code that runs longer.

    The first timer counts CPU time of the process, so a busy machine causes no faults. The second timer counts real
    time with a long limit, for code that waits forever.
    """

    def expire(signal_number: int, frame: FrameType | None) -> None:
        raise Hang

    timers = ((signal.SIGVTALRM, signal.ITIMER_VIRTUAL, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 20 * seconds))
    previous = [signal.signal(number, expire) for number, _, _ in timers]
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, previous, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the long form. Returns the exit status: 1 if there was a fault."""
    parser = argparse.ArgumentParser(description="Fuzz every reader of tts_meta.")
    parser.add_argument(
        "--inputs", type=int, default=20_000, help="total number of inputs, divided evenly over the targets"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs")
    parser.add_argument("--only", default="", help="run only targets whose name contains this")
    parser.add_argument("--json", type=Path, help="file for the counts and faults")
    options = parser.parse_args(arguments)
    chosen = [target for target in targets() if options.only in target.name]
    if not chosen:
        parser.error(f"no target's name contains {options.only!r}")
    tallies: dict[str, Tally] = {}
    for target in chosen:
        tally = run_target(target, -(-options.inputs // len(chosen)), options.seed, stop_early=False)
        tallies[target.name] = tally
        print(
            f"{target.name}: {tally.inputs} inputs, {tally.accepted} accepted, {tally.refused} refused, "
            f"{len(tally.faults)} faults, slowest {tally.slowest:.2f} s",
            flush=True,
        )
        for fault in tally.faults[:5]:
            print(f"  {fault}", flush=True)
    total = sum(tally.inputs for tally in tallies.values())
    faults = sum(len(tally.faults) for tally in tallies.values())
    print(f"{total} inputs over {len(chosen)} readers, {faults} faults")
    if options.json:
        options.json.write_text(json.dumps({name: vars(tally) for name, tally in tallies.items()}, indent=1))
    return int(faults > 0)


if __name__ == "__main__":
    # The targets import this file as `fuzzing`, so the command does the same.
    sys.path[:0] = [str(HERE)]
    raise SystemExit(importlib.import_module("fuzzing").main())
