"""Rules of adaptation that every learner obeys. A learner added to `LEARNERS` is tested here without further code.

test_learners_training.py has the rules of meta-training.
"""

from __future__ import annotations

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from faults import error_line
from helpers import random_state_kept, same_weights
from torch import Tensor, nn
from toy_domains import TRAINABLE, make_learner, net_of, regression_domain, regression_task
from toy_models import SETTINGS, Dropping, every_learner, learner_of, trainer_of, with_random_draws

from tts_meta.errors import UsageError
from tts_meta.meta import Adapted, AdaptProgress, Budget, MetaLearner, Params, Task

TASKS = [regression_task(seed) for seed in range(3)]
QUERY = [task.query for task in TASKS]
BUDGET = Budget(10)
# Some tasks reach the plateau earlier than others.
FAST = SETTINGS | {"inner_lr": 0.02, "variance": 0.1}
PLATEAU = Budget.plateau(160)


def trained(name: str, model: nn.Module | None = None) -> MetaLearner:
    """A learner after two meta-steps, if it can be meta-trained."""
    net = net_of() if model is None else model
    if name not in TRAINABLE:
        return learner_of(net, name)
    trainer = trainer_of(net, name)
    for _ in range(2):
        trainer.step(TASKS)
    return trainer.learner


def assert_equal_to_single_tasks(learner: MetaLearner, tasks: list[Task], budget: Budget, close: float) -> Adapted:
    together = learner.adapt(tasks, budget)
    for index, task in enumerate(tasks):
        alone = learner.adapt([task], budget)
        count = alone.steps[0]
        assert (together.steps[index], together.stopped[index]) == (count, alone.stopped[0])
        assert len(alone.losses) == count
        torch.testing.assert_close(together.losses[:count, index], alone.losses[:, 0], atol=close, rtol=close)
        assert bool(together.losses[count:, index].isnan().all()), "NaN after a task has stopped"
        torch.testing.assert_close(together.task(index), alone.task(0), atol=close, rtol=close)
        for name, value in together.statistics.items():
            torch.testing.assert_close(value[index], alone.statistics[name][0], atol=close, rtol=close)
    return together


@every_learner
@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adapting_several_tasks_equals_adapting_one_by_one(name: str, vectorised: bool, dtype: torch.dtype) -> None:
    tasks = [regression_task(seed, dtype) for seed in range(3)]
    learner = learner_of(net_of(dtype), name, vectorised=vectorised)
    close = 1e-5 if dtype == torch.float32 else 1e-11
    actual = assert_equal_to_single_tasks(learner, tasks, BUDGET, close)
    assert {value.dtype for value in actual.params.values()} <= {dtype}
    assert {value.shape[0] for value in actual.params.values()} <= {3}


@every_learner
@pytest.mark.parametrize("vectorised", [False, True])
def test_tasks_that_stop_automatically_stop_as_they_do_alone(name: str, vectorised: bool) -> None:
    learner = learner_of(net_of(), name, FAST, vectorised=vectorised)
    actual = assert_equal_to_single_tasks(learner, TASKS, PLATEAU, 1e-11)
    if learner.iterative:
        assert len(actual.losses) == max(actual.steps) <= PLATEAU.steps and all(actual.stopped)
    else:
        assert actual.steps == (0, 0, 0) and not any(actual.stopped)


@every_learner
def test_no_tasks_give_an_empty_result(name: str) -> None:
    actual = learner_of(net_of(), name).adapt([], BUDGET)
    assert (actual.steps, actual.stopped, actual.losses.shape[1]) == ((), (), 0)
    assert all(len(value) == 0 for value in actual.params.values())


@every_learner
def test_adaptation_lowers_the_support_loss_of_learners_with_inner_steps(name: str) -> None:
    learner, support = learner_of(net_of(), name), [task.support for task in TASKS]
    actual = learner.adapt(TASKS, Budget(30))
    if not learner.iterative:
        assert actual.losses.shape == (0, 3)
        return
    assert actual.losses.shape == (30, 3) and actual.steps == (30, 30, 30) and actual.stopped == ("", "", "")
    assert bool((actual.losses[-1] < actual.losses[0]).all())
    assert bool((learner.score(actual.params, support) < actual.losses[-1]).all())


@every_learner
def test_the_parameters_are_those_of_the_modules_that_adapt(name: str) -> None:
    learner = trained(name)
    actual, start = learner.adapt(TASKS, BUDGET), learner.start(3)
    adapted = {parameter for module in learner.adapted_modules for parameter in module.parameters}
    assert set(actual.params) <= set(start) == adapted
    for key, value in start.items():
        origin = learner.model_parameters().get(key, learner.domain.model.get_parameter(key))
        torch.testing.assert_close(value, origin.detach().expand(3, *origin.shape), atol=0, rtol=0)
        assert actual.params.get(key, value).shape == value.shape
    for key, value in actual.displacements.items():
        torch.testing.assert_close(start[key] + value, actual.params[key], atol=1e-12, rtol=1e-12)
    assert {module.name for module in learner.adapted_modules} <= set(learner.changing_modules)


@every_learner
def test_adaptation_changes_neither_the_model_nor_the_meta_parameters(name: str) -> None:
    net = net_of().requires_grad_(False)
    learner, before = trained(name, net), copy.deepcopy(net.state_dict())
    meta = copy.deepcopy(learner.state_dict())
    learner.adapt(TASKS, BUDGET)
    learner.adapt(TASKS[:1], PLATEAU)
    learner.score(learner.start(3), QUERY)
    assert same_weights(before, net) and same_weights(meta, learner)
    assert not any(value.requires_grad or value.grad is not None for value in net.parameters())
    assert not any(value.grad is not None for value in learner.parameters())


@every_learner
def test_the_callers_settings_of_torch_are_untouched_and_have_no_effect(name: str) -> None:
    def state() -> tuple[object, ...]:
        backends = torch.backends.cuda
        kernels = (backends.flash_sdp_enabled(), backends.mem_efficient_sdp_enabled(), torch.backends.cudnn.enabled)
        return torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), *kernels

    before, learner = state(), trained(name)
    with random_state_kept():
        expected = learner.adapt(TASKS, BUDGET)
    assert state() == before
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            inside = state()
            actual = learner.adapt(TASKS, BUDGET)
            assert state() == inside
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(actual.losses.double(), expected.losses.double())
    assert same_weights(actual.params, expected.params)


def recording(task: Task, seen: dict[int, list[Tensor]]) -> Task:
    """The task with inner steps that draw from the global generators, and that record what they draw."""
    drawing = with_random_draws(task)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        x, y = drawing.draw(step) if drawing.draw else task.support
        seen.setdefault(step, []).append(torch.cat([x, y]))
        return x, y

    return replace(task, draw=draw)


@every_learner
def test_what_an_inner_step_draws_is_a_function_of_the_seed_and_the_step(name: str) -> None:
    """The draws of a task do not depend on the other tasks, on their order or on the caller's generators."""
    task, calls = TASKS[0], list[dict[int, list[Tensor]]]()

    def draws(others: list[Task], position: int, seed: int = 0, steps: int = 5) -> tuple[dict[int, Tensor], Params]:
        calls.append({})
        tasks = [with_random_draws(other) for other in others]
        tasks.insert(position, recording(task, calls[-1]))
        torch.randn(len(calls)), random.random(), np.random.rand()  # pyright: ignore[reportUnusedExpression]
        actual = learner_of(Dropping(), name, seed=seed).adapt(tasks, Budget(steps))
        assert all(torch.equal(draw, each[0]) for each in calls[-1].values() for draw in each)
        return {step: each[0] for step, each in calls[-1].items()}, actual.task(position)

    alone, params = draws([], 0)
    for others, position in ((TASKS[1:], 0), (TASKS[1:], 2), (TASKS[:0:-1], 1)):
        together, others_params = draws(others, position)
        assert same_weights(together, alone)  # pyright: ignore[reportArgumentType]
        torch.testing.assert_close(others_params, params, atol=1e-12, rtol=1e-12)
    if not learner_of(Dropping(), name).iterative:
        return
    assert set(alone) == set(range(5)) and len({float(draw[0]) for draw in alone.values()}) == 5
    longer, _ = draws([], 0, steps=8)
    assert all(torch.equal(longer[step], draw) for step, draw in alone.items())
    other, _ = draws([], 0, seed=1)
    assert not any(torch.equal(other[step], draw) for step, draw in alone.items())


@every_learner
def test_observers_receive_every_step_with_the_parameters_by_name(name: str) -> None:
    learner, seen = learner_of(net_of(), name), list[AdaptProgress]()
    actual = learner.adapt(TASKS, Budget(4), seen.append)
    if not learner.iterative:
        assert not seen or same_weights(seen[-1].params, actual.params)
        return
    assert [progress.step for progress in seen] == [0, 1, 2, 3, 4] and {progress.end for progress in seen} == {4}
    assert seen[0].losses is None and same_weights(seen[0].params, learner.start(3))
    for progress, losses in zip(seen, actual.losses, strict=False):
        scores = learner.score(progress.params, [task.support for task in TASKS])
        torch.testing.assert_close(scores, losses)
    for progress, losses in zip(seen[1:], actual.losses, strict=True):
        assert progress.losses is not None and torch.equal(progress.losses, losses)
    torch.testing.assert_close(seen[-1].params, actual.params, atol=1e-12, rtol=1e-12)


@every_learner
def test_observers_learn_when_adaptation_stops_automatically(name: str) -> None:
    learner, seen = learner_of(net_of(), name, FAST), list[AdaptProgress]()
    actual = learner.adapt(TASKS[:1], PLATEAU, seen.append)
    if learner.iterative:
        assert [progress.step for progress in seen] == list(range(actual.steps[0] + 1))
        assert seen[0].end == PLATEAU.steps and seen[-1].end == actual.steps[0]


@every_learner
def test_a_move_to_another_device_moves_the_model_too(name: str) -> None:
    """`meta` is the only other device that every machine has."""
    learner = learner_of(net_of(), name)
    assert learner.to("meta") is learner
    model = learner.domain.model
    moved = [*learner.parameters(), *learner.buffers(), *model.parameters(), *model.buffers()]
    assert {value.device.type for value in moved} == {"meta"} and learner.device.type == "meta"


@every_learner
def test_double_converts_the_model_and_continues_in_double_precision(name: str) -> None:
    model = net_of(torch.float32)
    learner, single = learner_of(model, name), [regression_task(seed, torch.float32) for seed in range(3)]
    before = learner.adapt(single, BUDGET)
    assert learner.double() is learner
    moved = [*learner.parameters(), *learner.buffers(), *model.parameters(), *model.buffers()]
    assert {value.dtype for value in moved if value.is_floating_point()} == {torch.float64}
    actual = learner.adapt(TASKS, BUDGET)
    assert {value.dtype for value in actual.params.values()} <= {torch.float64}
    expected = {key: value.double() for key, value in before.params.items()}
    torch.testing.assert_close(actual.params, expected, atol=1e-4, rtol=1e-4)


def stored(learner: MetaLearner) -> tuple[Params, nn.Module]:
    """What is saved: the tensors of the learner's file, and a model with the learned weights."""
    model = copy.deepcopy(learner.domain.model)
    with torch.no_grad():
        for key, value in learner.model_parameters().items():
            model.get_parameter(key).copy_(value)
    return {key: value.clone() for key, value in learner.stored_tensors().items()}, model


@every_learner
def test_a_learner_saved_beside_its_weights_adapts_bit_for_bit_as_before(name: str) -> None:
    learner = trained(name)
    tensors, model = stored(learner)
    loaded = learner_of(model, name).load_stored(tensors)
    assert same_weights(loaded, learner) and loaded.module_variances() == learner.module_variances()
    for budget in (BUDGET, PLATEAU):
        actual, expected = loaded.adapt(TASKS, budget), learner.adapt(TASKS, budget)
        assert same_weights(actual.params, expected.params) and actual.steps == expected.steps
    assert torch.equal(loaded.score(loaded.start(3), QUERY), learner.score(learner.start(3), QUERY))


@every_learner
def test_a_file_with_a_missing_or_unfit_tensor_is_refused_in_one_line(name: str) -> None:
    learner = trained(name)
    tensors, model = stored(learner)
    wrong = [("new", tensors | {"new": torch.zeros(1)})]
    for key, value in tensors.items():
        wrong += [(key, {other: tensors[other] for other in tensors if other != key})]
        wrong += [(key, tensors | {key: torch.zeros(*value.shape, 2)})]
    for key, unfit in wrong:
        other = learner_of(model, name)
        before = copy.deepcopy(other.state_dict())
        text = error_line(lambda other=other, unfit=unfit: other.load_stored(unfit), UsageError)
        assert text == f"the file of learner '{name}' does not fit its modules ({key}); meta-train it again"
        assert same_weights(before, other)


@every_learner
def test_a_restricted_learner_equals_one_whose_other_modules_stay_fixed(name: str) -> None:
    """σ and step sizes have their initial values, so that a new learner for these modules has them too."""
    constant = SETTINGS | {"variance_lr": 0.0, "step_lr": 0.0}
    learner = learner_of(net_of(), name, constant)
    if name in TRAINABLE:
        trainer = trainer_of(net_of(), name, constant)
        trainer.step(TASKS)
        learner = trainer.learner
    names = [module.name for module in learner.adapted_modules]
    kept = names[1::2] or names
    try:
        part = learner.restrict(kept)
    except UsageError as error:
        assert str(error) == f"learner '{name}' cannot adapt a part of its modules; leave out modules"
        return
    assert [module.name for module in part.adapted_modules] == kept
    _, model = stored(learner)
    domain = regression_domain(model)
    fixed = replace(domain, modules=[module for module in domain.modules if module.name in kept])
    expected = make_learner(name, constant, fixed, modules=kept).adapt(TASKS, BUDGET)
    actual = part.adapt(TASKS, BUDGET)
    assert same_weights(actual.params, expected.params) and torch.equal(actual.losses, expected.losses)
