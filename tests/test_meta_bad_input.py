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
    make_trainer,
    modules_of,
    net_of,
    regression_domain,
    regression_loss,
    regression_task,
    spoiled,
)
from toy_models import SETTINGS, trainable_learner

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Budget, Diverged, Domain, MetaTrainer, Task, create_learner
from tts_meta.meta.task import stack_data
from tts_meta.models.partition import Module

TASKS = [regression_task(seed) for seed in range(4)]


def trainer_of(
    name: str, loss: Any = regression_loss, model: nn.Module | None = None, vectorised: bool = False, **more: Any
) -> MetaTrainer:
    return make_trainer(name, SETTINGS, regression_domain(model, loss, vectorised=vectorised), **more)


def trained_state(trainer: MetaTrainer) -> dict[str, Any]:
    """Everything that training changes, except the count of meta-steps."""
    state = {name: value for name, value in trainer.state_dict().items() if name != "counters"}
    return copy.deepcopy({"meta": state, "optimiser": trainer.optimiser.state_dict()["state"]})


def assert_unchanged(trainer: MetaTrainer, before: dict[str, Any]) -> None:
    torch.testing.assert_close(trained_state(trainer), before, atol=0, rtol=0)


def assert_refused(trainer: MetaTrainer, tasks: list[Task], kind: type[TtsMetaError] = TtsMetaError) -> str:
    """The message of a meta-step that must not change anything."""
    before = trained_state(trainer)
    text = error_line(lambda: trainer.step(tasks), kind)
    assert_unchanged(trainer, before)
    assert trainer.steps_done == 0
    return text


# Wrong calls.


def test_a_task_without_query_is_named_and_nothing_changes() -> None:
    text = assert_refused(trainer_of("maml"), [*TASKS[:2], replace(TASKS[2], query=None)])
    assert text == "task 'sinusoid 2' has no query data; give data to score the adaptation on"
    nameless = Task(TASKS[0].support)
    assert "task '1' has no query data" in assert_refused(trainer_of("reptile"), [TASKS[0], nameless])


def test_a_meta_step_needs_a_task() -> None:
    assert assert_refused(trainer_of("sigma-imaml"), []) == "no tasks; a meta-step needs at least one"


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
    if modules and not partition:
        text = "no module 'head' in the partition"
    domain = Domain(Net(), regression_loss, partition)
    assert text in error_line(lambda: create_learner("maml", domain, modules=modules), TtsMetaError)


@pytest.mark.parametrize(
    "name, roles, modules, text",
    [
        ("anil", {}, None, NO_HEAD),
        ("cavia", {"head": ["head"]}, None, NO_HEAD.replace("head", "context")),
        ("anil", {"head": []}, None, NO_HEAD),
        ("anil", {"head": ["haed"]}, None, "no module 'haed' in the partition; modules: context, first, second"),
        ("maml", {}, ["third"], "no module 'third' in the partition; modules: context, first, second"),
        ("maml", {}, [], "no module adapts; name at least one module"),
    ],
)
def test_a_role_or_module_that_is_missing_is_named(
    name: str, roles: dict[str, list[str]], modules: list[str] | None, text: str
) -> None:
    domain = Domain(Net(), regression_loss, PARTS, roles)
    assert error_line(lambda: create_learner(name, domain, modules=modules), UsageError).startswith(text)


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
    trainer = trainer_of("maml", loss, vectorised=vectorised, tasks_at_once=2)
    assert text in assert_refused(trainer, TASKS, UsageError)


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
    assert "[(3, 1), (5, 1)]" in assert_refused(trainer_of("maml", vectorised=True, tasks_at_once=2), tasks, UsageError)
    assert trainer_of("maml").step(tasks).skipped == 0


# Tasks that are not finite.


def assert_finite(trainer: MetaTrainer) -> None:
    assert all(bool(parameter.isfinite().all()) for parameter in trainer.parameters())


@trainable_learner
@pytest.mark.parametrize("part", ["support", "query"])
@pytest.mark.parametrize("in_parallel", [False, True])
def test_a_task_that_is_not_finite_is_skipped_and_counted_and_changes_nothing(
    name: str, part: Literal["support", "query"], in_parallel: bool
) -> None:
    more = {"vectorised": True, "tasks_at_once": 4} if in_parallel else {}
    with_bad_task, without = trainer_of(name, **more), trainer_of(name, **more)
    for _ in range(2):
        metrics = with_bad_task.step([TASKS[0], spoiled(TASKS[1], part), *TASKS[2:]])
        expected = without.step([TASKS[0], *TASKS[2:]])
        assert (metrics.tasks, metrics.skipped) == (4, 1) and (expected.tasks, expected.skipped) == (3, 0)
        assert metrics.loss_after == pytest.approx(expected.loss_after, rel=1e-10)
        assert metrics.loss_before == pytest.approx(expected.loss_before, rel=1e-10)
    # In parallel, the three finite tasks are repeated in sequence: equal up to rounding.
    close = 1e-10 if in_parallel else 0.0
    torch.testing.assert_close(trained_state(with_bad_task), trained_state(without), atol=close, rtol=10 * close)


@trainable_learner
def test_ten_meta_steps_without_a_finite_task_stop_training_and_change_nothing(name: str) -> None:
    trainer = trainer_of(name)
    trainer.step(TASKS)
    before, bad = trained_state(trainer), [spoiled(task, "support") for task in TASKS]
    for _ in range(9):
        metrics = trainer.step(bad)
        assert metrics.skipped == 4 and metrics.gradient_norm == 0 and not metrics.counts
        assert set(metrics.statistics) == set(trainer.learner.statistics)
        numbers = (metrics.loss_before, metrics.loss_after, *metrics.statistics.values())
        assert all(math.isnan(number) for number in numbers)
    text = error_line(lambda: trainer.step(bad), Diverged)
    assert text.startswith("no task was finite in 10 meta-steps; check the data, or lower inner_lr")
    assert_unchanged(trainer, before)
    assert_finite(trainer)


def test_one_finite_task_resets_the_count_of_ten() -> None:
    trainer, bad = trainer_of("fomaml"), [spoiled(task, "query") for task in TASKS]
    for number in range(27):
        trainer.step([*bad[1:], TASKS[0]] if number % 9 == 8 else bad)
    assert trainer.steps_done == 27


def infinite_at_the_start(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
    """A query loss (five points) that is infinite before adaptation and finite after it."""
    with torch.no_grad():
        not_adapted = torch.equal(call(data[0]), net_of()(data[0])) and len(data[0]) == 5
    return regression_loss(call, data) + (math.inf if not_adapted else 0.0)


def test_a_query_loss_that_is_infinite_only_before_adaptation_counts_as_not_finite() -> None:
    trainer = trainer_of("maml", infinite_at_the_start)
    before = trained_state(trainer)
    metrics = trainer.step(TASKS)
    assert metrics.skipped == 4 and math.isnan(metrics.loss_after)
    assert_unchanged(trainer, before)


@trainable_learner
def test_an_infinite_loss_in_the_query_alone_skips_the_task(name: str) -> None:
    trainer = trainer_of(name)
    metrics = trainer.step([TASKS[0], spoiled(TASKS[1], "query", math.inf)])
    assert metrics.skipped == 1 and math.isfinite(metrics.loss_before) and math.isfinite(metrics.loss_after)
    assert_finite(trainer)


@trainable_learner
@pytest.mark.parametrize("part", ["support", "query"])
def test_a_finite_loss_without_a_finite_gradient_skips_the_task(name: str, part: str) -> None:
    def rough(call: Callable[..., Any], data: tuple[Tensor, ...]) -> Tensor:
        """For data with a third part, a loss with the root of zero, which has no derivative."""
        loss = regression_loss(call, (data[0], data[1]))
        return loss + (call(data[0]) * 0).abs().sqrt().sum() if len(data) > 2 else loss

    trainer = trainer_of(name, rough)
    task = replace(TASKS[1], **{part: (*getattr(TASKS[1], part), torch.zeros(1))})
    metrics = trainer.step([TASKS[0], task])
    assert metrics.skipped == 1
    assert_finite(trainer)


@pytest.mark.parametrize("vectorised", [False, True])
def test_adaptation_to_a_task_that_is_not_finite_does_not_change_other_tasks(vectorised: bool) -> None:
    learner = trainer_of("sigma-maml", vectorised=vectorised).learner
    bad, budget = spoiled(TASKS[1], "support"), Budget(5)
    actual = learner.adapt([TASKS[0], bad, TASKS[2]], budget)
    assert all(bool(value.isnan().all()) for value in actual.task(1).values())
    for index in (0, 2):
        expected = learner.adapt([TASKS[index]], budget)
        torch.testing.assert_close(actual.task(index), expected.task(0), atol=1e-12, rtol=1e-12)
    for tasks in ([bad], [bad, bad]):
        text = error_line(lambda tasks=tasks: learner.adapt(tasks, budget), Diverged)
        assert text == "the loss is not finite before the first step; check the data and the model"


def test_a_model_with_an_empty_parameter_is_accepted() -> None:
    class WithEmptyParameter(Net):
        def __init__(self) -> None:
            super().__init__()
            self.empty = nn.Parameter(torch.zeros(0, dtype=torch.float64))

    assert trainer_of("sigma-imaml", model=WithEmptyParameter()).step(TASKS).skipped == 0
