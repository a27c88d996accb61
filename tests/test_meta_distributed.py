"""Two processes take the same steps as one, for any distribution of the tasks."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache, partial
from typing import Any

import pytest
import torch
from faults import error_line
from processes import in_two_processes
from toy_domains import (
    TRAINABLE,
    make_trainer,
    net_of,
    regression_domain,
    regression_loss,
    regression_task,
    spoiled,
)
from toy_models import SETTINGS

from tts_meta.errors import TtsMetaError
from tts_meta.meta import Diverged, Task

NAMES = ("sigma-imaml", "sigma-reptile", "maml", "finetune-all")
DTYPES = {"single": torch.float32, "double": torch.float64}
CLOSE = {"single": 1e-5, "double": 1e-10}
STEPS = 3


def tasks_of(kind: str, dtype: torch.dtype) -> list[Task]:
    """Tasks for two processes: different numbers, none for one process, or some that are not finite."""
    count, bad = {"odd": (5, ()), "fewer": (1, ()), "one-bad": (5, (2,)), "idle": (2, (1,)), "bad": (3, (0, 1, 2))}[
        kind
    ]
    tasks = [regression_task(seed, dtype) for seed in range(count)]
    return [spoiled(task, "support") if number in bad else task for number, task in enumerate(tasks)]


KINDS = ("odd", "fewer", "one-bad", "idle")
CASES = [(name, kind, precision) for name in NAMES for kind in KINDS for precision in DTYPES]
CASES += [(name, "odd", "double") for name in TRAINABLE if name not in NAMES]


@cache
def trained(name: str, kind: str, precision: str) -> dict[str, Any]:
    """Results of a few meta-steps: the optimiser's first gradient, the state, the metrics and the number of calls."""
    calls, gradients = [], []

    def counted(call: Any, data: Any) -> torch.Tensor:
        calls.append(1)
        return regression_loss(call, data)

    trainer = make_trainer(name, SETTINGS, regression_domain(net_of(DTYPES[precision]), counted))
    trainer.optimiser.register_step_pre_hook(
        lambda *_: gradients.append({k: v.grad.clone() for k, v in trainer.named_parameters() if v.grad is not None})
    )
    steps = [asdict(trainer.step(tasks_of(kind, DTYPES[precision]))) for _ in range(STEPS)]
    return {"gradient": gradients[0], "state": trainer.state_dict(), "steps": steps, "calls": len(calls)}


def diverged_after() -> int:
    """Number of meta-steps until training stops if no task is finite."""
    trainer = make_trainer("maml", SETTINGS)
    for step in range(1, 100):
        try:
            trainer.step(tasks_of("bad", torch.float64))
        except Diverged:
            return step
    return 0


def trained_from_builders() -> dict[str, Any]:
    """The state and metrics after meta-steps on functions that build a task, and the numbers of the built tasks.

    Each meta-step has five functions. The second and the fourth return None.
    """
    trainer, built = make_trainer("sigma-imaml", SETTINGS), []

    def build(number: int) -> Task | None:
        built.append(number)
        return None if number in (1, 3) else regression_task(number)

    steps = [asdict(trainer.step([partial(build, number) for number in range(5)])) for _ in range(STEPS)]
    return {"state": trainer.state_dict(), "steps": steps, "built": built}


def everything() -> dict[str, Any]:
    """All results that the tests compare."""
    actual: dict[str, Any] = {" ".join(case): trained(*case) for case in CASES}
    return actual | {"diverged": diverged_after(), "builders": trained_from_builders(), "refused": refused()}


def refused() -> str:
    """The message for a task without query data, which is a task of the first process alone."""
    tasks = [Task(regression_task(0).support, name="half"), regression_task(1)]
    return error_line(lambda: make_trainer("maml", SETTINGS).step(tasks), TtsMetaError)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each of two processes."""
    return in_two_processes(everything, tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize(("name", "kind", "precision"), CASES)
def test_two_processes_take_the_same_steps_as_one(
    name: str, kind: str, precision: str, both: list[dict[str, Any]]
) -> None:
    alone, close = trained(name, kind, precision), CLOSE[precision]
    first, second = (results[f"{name} {kind} {precision}"] for results in both)
    for part in ("gradient", "state"):
        assert alone[part].keys() == first[part].keys() and alone[part]
        for key, value in alone[part].items():
            torch.testing.assert_close(first[part][key], value, atol=close, rtol=close)
            assert torch.equal(first[part][key], second[part][key])  # bit for bit, so that they do not drift apart
    assert first["steps"] == second["steps"]
    for expected, metrics in zip(alone["steps"], first["steps"], strict=True):
        assert (expected["tasks"], expected["skipped"]) == (metrics["tasks"], metrics["skipped"])
        assert {"one-bad": 1, "idle": 1}.get(kind, 0) == expected["skipped"]
        assert expected["counts"] == metrics["counts"]
        for number in ("loss_before", "loss_after", "gradient_norm"):
            assert metrics[number] == pytest.approx(expected[number], rel=close)
    start = make_trainer(name, SETTINGS, regression_domain(net_of(DTYPES[precision]))).learner
    moved = [(alone["state"][f"learner.{key}"] - value.detach()).abs() for key, value in start.named_parameters()]
    assert max(float(change.max()) for change in moved if change.numel()) > 100 * close  # the parameters have moved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_work_is_divided_without_duplicates(name: str, kind: str, both: list[dict[str, Any]]) -> None:
    calls = [actual[f"{name} {kind} double"]["calls"] for actual in both]
    assert sum(calls) == trained(name, kind, "double")["calls"]
    assert (calls[1] == 0) == (kind == "fewer")


def test_both_processes_stop_at_the_same_meta_step(both: list[dict[str, Any]]) -> None:
    assert [actual["diverged"] for actual in both] == [10, 10] == [diverged_after()] * 2


def test_every_process_refuses_a_task_without_query_data(both: list[dict[str, Any]]) -> None:
    text = "task 'half' has no query data; give data to score the adaptation on"
    assert [actual["refused"] for actual in both] == [text, text]


def test_a_process_builds_only_its_own_tasks_and_takes_the_step_of_one_process(both: list[dict[str, Any]]) -> None:
    alone, first, second = trained_from_builders(), both[0]["builders"], both[1]["builders"]
    assert alone["built"] == list(range(5)) * STEPS
    assert (first["built"], second["built"]) == ([0, 2, 4] * STEPS, [1, 3] * STEPS)
    for name, value in alone["state"].items():
        torch.testing.assert_close(first["state"][name], value, atol=1e-10, rtol=1e-10)
        assert torch.equal(first["state"][name], second["state"][name])
    for results in (alone, first, second):
        assert [(step["tasks"], step["skipped"]) for step in results["steps"]] == [(5, 2)] * STEPS


def test_a_step_on_functions_equals_a_step_on_the_tasks_that_they_return() -> None:
    trainer = make_trainer("sigma-imaml", SETTINGS)
    for _ in range(STEPS):
        trainer.step([regression_task(number) for number in (0, 2, 4)])
    state = trained_from_builders()["state"]
    for name, value in trainer.state_dict().items():
        torch.testing.assert_close(state[name], value, atol=1e-12, rtol=1e-12)
