"""Wrong calls of a meta-learner, and tasks that are not finite.

test_meta_train.py tests the names of learners; test_meta_parameter_layout.py tests wrong partitions.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import pytest
import torch
from faults import error_line
from torch import Tensor, nn
from toy_domains import (
    Net,
    make_learner,
    modules_of,
    net_of,
    regression_loss,
    regression_task,
    spoiled,
)

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS, Diverged, LearnerSettings, MetaLearner, Task
from tts_meta.meta.task import stack_data
from tts_meta.models.partition import Module

every_learner = pytest.mark.parametrize("name", LEARNERS)
TASKS = [regression_task(seed) for seed in range(4)]
# The variance is so small that no system is indefinite. Rounding would decide where the solve of such a system ends.
SETTINGS = LearnerSettings(inner_lr=0.004, inner_steps=3, outer_lr=0.01, variance=0.003, cg_max_iters=20)


def learner_of(name: str, loss: Any = regression_loss, **more: Any) -> MetaLearner:
    learner = make_learner(name, SETTINGS, **more)
    learner.domain = replace(learner.domain, loss=loss)
    return learner


def trained_state(learner: MetaLearner) -> dict[str, Any]:
    """Everything that training changes, except the count of meta-steps."""
    state = {name: value for name, value in learner.state_dict().items() if name != "progress"}
    return copy.deepcopy({"meta": state, "optimiser": learner.optimiser.state_dict()["state"]})


def assert_unchanged(learner: MetaLearner, before: dict[str, Any]) -> None:
    torch.testing.assert_close(trained_state(learner), before, atol=0, rtol=0)


def assert_refused(learner: MetaLearner, tasks: list[Task], kind: type[TtsMetaError] = TtsMetaError) -> str:
    """The message of a meta-step that must not change anything."""
    before = trained_state(learner)
    text = error_line(lambda: learner.meta_step(tasks), kind)
    assert_unchanged(learner, before)
    assert learner.steps_done == 0
    return text


# Wrong calls.


def test_a_task_without_query_is_named_and_nothing_changes() -> None:
    text = assert_refused(learner_of("maml"), [*TASKS[:2], replace(TASKS[2], query=None)])
    assert text == "task 'sinusoid 2' has no query data; give data to score the adaptation on"
    nameless = Task(TASKS[0].support)
    assert "task '1' has no query data" in assert_refused(learner_of("reptile"), [TASKS[0], nameless])


def test_a_meta_step_needs_a_task() -> None:
    assert assert_refused(learner_of("sigma-imaml"), []) == "no tasks; a meta-step needs at least one"


FIXED = Net()
NO_HEAD = "this learner adapts only the head; name the modules of the head in roles"
PARTS = modules_of(FIXED)


@pytest.mark.parametrize(
    "partition, text",
    [
        ((), "no module adapts; name at least one module"),
        ((*PARTS, Module("hollow", "test", (), 0)), "module 'hollow' has no parameters"),
        ((*PARTS, Module("more", "test", ("first.bias",), 0)), "'first.bias' is in two modules, 'first' and 'more'"),
        ((*PARTS, Module("more", "test", ("head.bias",), 0)), "'head.bias' is in two modules, 'head' and 'more'"),
        ((*PARTS, Module("more", "test", ("third.bias",), 0)), "'third.bias' of module 'more' is not in the model"),
        ((*PARTS[:3], Module("first", "test", ("head.bias",), 0)), "two modules have the name 'first'"),
    ],
)
@pytest.mark.parametrize("modules", [None, ("head",)])
def test_a_wrong_partition_is_refused_for_any_choice_of_modules(
    partition: tuple[Module, ...], text: str, modules: tuple[str, ...] | None
) -> None:
    if modules and not any(module.name == "head" for module in partition):
        text = "no module 'head' in the partition"
    assert text in error_line(
        lambda: MetaLearner("maml", Net(), regression_loss, partition, modules=modules), TtsMetaError
    )


@pytest.mark.parametrize(
    "name, arguments, text",
    [
        ("anil", {}, NO_HEAD),
        ("cavia", {"roles": {"head": ["head"]}}, NO_HEAD.replace("head", "context")),
        ("anil", {"roles": {"head": []}}, NO_HEAD),
        ("anil", {"roles": {"head": ["haed"]}}, "no module 'haed' in the partition; modules: context, first, second"),
        ("maml", {"modules": ["third"]}, "no module 'third' in the partition; modules: context, first, second"),
        ("maml", {"modules": []}, "no module adapts; name at least one module"),
    ],
)
def test_a_role_or_module_that_is_missing_is_named(name: str, arguments: dict[str, Any], text: str) -> None:
    assert error_line(lambda: MetaLearner(name, Net(), regression_loss, PARTS, **arguments), UsageError).startswith(
        text
    )


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize(
    "loss, text",
    [
        (lambda call, data: (call(data[0]) - data[1]).square(), r"it returned (6, 1)"),
        (lambda call, data: call(data[0]).sum(0), r"it returned (1,)"),
        (lambda call, data: call(data[0]).ndim / 2, "it returned float"),
        (lambda call, data: FIXED(data[0]).square().sum(), "the loss must call its first argument"),
    ],
    ids=["one loss per point", "one axis", "float", "loss of another model"],
)
def test_a_loss_that_is_not_a_scalar_function_of_the_parameters_is_refused(
    loss: Callable[..., Any], text: str, vectorised: bool
) -> None:
    learner = learner_of("maml", loss, vectorised=vectorised, tasks_at_once=2)
    assert text in assert_refused(learner, TASKS, UsageError)


class Pair(NamedTuple):
    """A named tuple of data."""

    x: Tensor
    y: Tensor


@pytest.mark.parametrize(
    "first, second, text",
    [
        (torch.zeros(2), torch.zeros(3), "tasks of different shapes [(2,), (3,)]"),
        ((torch.zeros(2), torch.zeros(1)), (torch.zeros(2), torch.zeros(2)), "tasks of different shapes [(1,), (2,)]"),
        ((torch.zeros(2),), (torch.zeros(2), torch.zeros(2)), "tuples of different lengths [1, 2]"),
        ({"x": torch.zeros(2)}, {"x": torch.zeros(2), "y": torch.zeros(1)}, "tasks with and without the key 'y'"),
        ({"x": torch.zeros(2)}, {"y": torch.zeros(2)}, "tasks with and without the key 'x'"),
        ((torch.zeros(2),), torch.zeros(1), "data of types Tensor and tuple"),
        (Pair(torch.zeros(1), torch.zeros(1)), (torch.zeros(1),) * 2, "data of types Pair and tuple"),
        ([torch.zeros(2)], [torch.zeros(2)], "data of type list"),
        ((torch.zeros(2), 3), (torch.zeros(2), 3), "data of type int"),
    ],
)
def test_data_that_cannot_run_in_parallel_is_refused_with_advice(first: Any, second: Any, text: str) -> None:
    actual = error_line(lambda: stack_data([first, second]), UsageError)
    assert actual == f"{text} cannot run in parallel; set vectorised=False"


def test_tasks_of_different_sizes_run_in_sequence_but_not_in_parallel() -> None:
    x, y = TASKS[1].query
    tasks = [TASKS[0], replace(TASKS[1], query=(x[:3], y[:3]))]
    assert "[(3, 1), (5, 1)]" in assert_refused(learner_of("maml", vectorised=True, tasks_at_once=2), tasks, UsageError)
    assert learner_of("maml").meta_step(tasks).skipped == 0


# Tasks that are not finite.


@every_learner
@pytest.mark.parametrize("part", ["support", "query"])
@pytest.mark.parametrize("in_parallel", [False, True])
def test_a_task_that_is_not_finite_is_skipped_and_counted_and_changes_nothing(
    name: str, part: Literal["support", "query"], in_parallel: bool
) -> None:
    more = {"vectorised": True, "tasks_at_once": 4} if in_parallel else {}
    with_bad_task, without = learner_of(name, **more), learner_of(name, **more)
    for _ in range(2):
        metrics = with_bad_task.meta_step([TASKS[0], spoiled(TASKS[1], part), *TASKS[2:]])
        expected = without.meta_step([TASKS[0], *TASKS[2:]])
        assert (metrics.tasks, metrics.skipped) == (4, 1) and (expected.tasks, expected.skipped) == (3, 0)
        assert metrics.loss_after == pytest.approx(expected.loss_after, rel=1e-10)
        assert metrics.loss_before == pytest.approx(expected.loss_before, rel=1e-10)
    # In parallel, the three finite tasks are repeated in sequence: equal up to rounding.
    close = 1e-10 if in_parallel else 0.0
    torch.testing.assert_close(trained_state(with_bad_task), trained_state(without), atol=close, rtol=10 * close)


@every_learner
def test_ten_meta_steps_without_a_finite_task_stop_training_and_change_nothing(name: str) -> None:
    learner = learner_of(name)
    learner.meta_step(TASKS)
    before, bad = trained_state(learner), [spoiled(task, "support") for task in TASKS]
    for _ in range(9):
        metrics = learner.meta_step(bad)
        assert metrics.skipped == 4 and metrics.gradient_norm == 0 and metrics.hessian_products == 0
        assert all(
            math.isnan(number)
            for number in (metrics.loss_before, metrics.loss_after, metrics.residual, metrics.stationarity)
        )
    text = error_line(lambda: learner.meta_step(bad), Diverged)
    assert text.startswith("no task was finite in 10 meta-steps; check the data, or lower inner_lr")
    assert_unchanged(learner, before)
    assert all(bool(value.isfinite().all()) for key, value in before["meta"].items() if key != "log_variances")


def test_one_finite_task_resets_the_count_of_ten() -> None:
    learner, bad = learner_of("fomaml"), [spoiled(task, "query") for task in TASKS]
    for number in range(27):
        learner.meta_step([*bad[1:], TASKS[0]] if number % 9 == 8 else bad)
    assert learner.steps_done == 27


def infinite_at_the_start(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
    """A query loss (five points) that is infinite before adaptation and finite after it."""
    with torch.no_grad():
        not_adapted = torch.equal(call(data[0]), net_of()(data[0])) and len(data[0]) == 5
    return regression_loss(call, data) + (math.inf if not_adapted else 0.0)


def test_a_query_loss_that_is_infinite_only_before_adaptation_counts_as_not_finite() -> None:
    learner = learner_of("maml", infinite_at_the_start)
    before = trained_state(learner)
    metrics = learner.meta_step(TASKS)
    assert metrics.skipped == 4 and math.isnan(metrics.loss_after)
    assert_unchanged(learner, before)


@every_learner
def test_an_infinite_loss_in_the_query_alone_skips_the_task(name: str) -> None:
    learner = learner_of(name)
    metrics = learner.meta_step([TASKS[0], spoiled(TASKS[1], "query", math.inf)])
    assert metrics.skipped == 1 and math.isfinite(metrics.loss_before) and math.isfinite(metrics.loss_after)
    assert all(bool(p.isfinite().all()) for key, p in learner.named_parameters() if key != "log_variances")


@every_learner
@pytest.mark.parametrize("part", ["support", "query"])
def test_a_finite_loss_without_a_finite_gradient_skips_the_task(name: str, part: str) -> None:
    def rough(call: Callable[..., Any], data: tuple[Tensor, ...]) -> Tensor:
        """For data with a third part, a loss with the root of zero, which has no derivative."""
        loss = regression_loss(call, (data[0], data[1]))
        return loss + (call(data[0]) * 0).abs().sqrt().sum() if len(data) > 2 else loss

    learner = learner_of(name, rough)
    task = replace(TASKS[1], **{part: (*getattr(TASKS[1], part), torch.zeros(1))})
    metrics = learner.meta_step([TASKS[0], task])
    assert metrics.skipped == 1
    assert all(bool(p.isfinite().all()) for key, p in learner.named_parameters() if key != "log_variances")


@pytest.mark.parametrize("vectorised", [False, True])
def test_adaptation_to_a_task_that_is_not_finite_does_not_change_other_tasks(vectorised: bool) -> None:
    learner = learner_of("sigma-maml", vectorised=vectorised)
    bad = spoiled(TASKS[1], "support")
    first, second, third = learner.adapt_many([TASKS[0], bad, TASKS[2]], 5)
    assert all(bool(value.isnan().all()) for value in second.params.values())
    for actual, task in ((first, TASKS[0]), (third, TASKS[2])):
        expected = learner.adapt(task, 5)
        torch.testing.assert_close(actual.params, expected.params, atol=1e-12, rtol=1e-12)
    for call in (lambda: learner.adapt(bad, 5), lambda: learner.adapt_many([bad, bad], 5)):
        text = error_line(call, Diverged)
        assert text == "the loss is not finite before the first step; check the data and the model"


def test_a_model_with_an_empty_parameter_is_accepted() -> None:
    class WithEmptyParameter(Net):
        def __init__(self) -> None:
            super().__init__()
            self.empty = nn.Parameter(torch.zeros(0, dtype=torch.float64))

    assert learner_of("sigma-imaml", model=WithEmptyParameter()).meta_step(TASKS).skipped == 0
