"""Rules of meta-training that every learner obeys. A learner added to `LEARNERS` is tested here without further code.

test_learners.py has the rules of adaptation; test_meta_bad_input.py those for tasks that are not finite; and
test_meta_distributed.py those for two processes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from helpers import same_weights
from toy_domains import EVERY, GRADIENT, TRAINABLE, gradient_learner, net_of, regression_task, spoiled
from toy_models import SETTINGS, Dropping, learner_of, trainable_learner, trainer_of

from tts_meta.errors import UsageError
from tts_meta.meta import Budget, MetaLearner, MetaTrainer, Task

WIDE = SETTINGS | {"variance": 0.1}
TASKS = [regression_task(seed) for seed in range(4)]
QUERY = [task.query for task in TASKS]
BUDGET = Budget(SETTINGS["inner_steps"])


def query_loss(learner: MetaLearner) -> float:
    """Mean over tasks, after adaptation on the support."""
    return float(learner.score(learner.adapt(TASKS, BUDGET).params, QUERY).mean())


def train(trainer: MetaTrainer, steps: int, tasks: Sequence[Task] = TASKS) -> list[float]:
    """Mean query losses after adaptation, before each meta-step."""
    return [trainer.step(tasks).loss_after for _ in range(steps)]


@trainable_learner
def test_meta_training_lowers_the_query_loss_after_adaptation(name: str) -> None:
    """All learners are scored in the same way. `loss_after` would not do: Reptile adapts on the query set too."""
    trainer = trainer_of(net_of(), name, WIDE, meta_steps=40)
    before, start = query_loss(trainer.learner), copy.deepcopy(trainer.learner.state_dict())
    train(trainer, 40)
    assert query_loss(trainer.learner) < (0.7 if name in GRADIENT else 1.0) * before
    assert not same_weights(start, trainer.learner) and trainer.steps_done == 40


@trainable_learner
def test_tasks_differentiated_in_parallel_give_the_same_step(name: str) -> None:
    one_by_one = trainer_of(net_of(), name)
    together = trainer_of(net_of(), name, vectorised=True, tasks_at_once=3)
    for _ in range(2):
        first, second = one_by_one.step(TASKS), together.step(TASKS)
        assert first.loss_after == pytest.approx(second.loss_after, rel=1e-10)
        assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-8)
    torch.testing.assert_close(one_by_one.state_dict(), together.state_dict(), atol=1e-10, rtol=1e-9)


@trainable_learner
def test_meta_training_does_not_change_the_given_model(name: str) -> None:
    net = net_of().requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    trainer = trainer_of(net, name)
    train(trainer, 2)
    assert same_weights(before, net)
    assert not any(value.requires_grad or value.grad is not None for value in net.parameters())
    learned = trainer.learner.model_parameters()
    shapes = {key: value.shape for key, value in net.named_parameters()}
    assert {key: value.shape for key, value in learned.items()}.items() <= shapes.items()
    if name in GRADIENT:
        assert learned.keys() == shapes.keys()
        assert any(not torch.equal(value, before[key]) for key, value in learned.items())


@trainable_learner
def test_training_resumes_exactly_from_its_state(name: str) -> None:
    uninterrupted = trainer_of(net_of(), name, meta_steps=4)
    train(uninterrupted, 2)
    state, optimiser = copy.deepcopy(uninterrupted.state_dict()), copy.deepcopy(uninterrupted.optimiser.state_dict())
    other = net_of()
    if name in GRADIENT:  # the state of these learners has all weights of the model
        with torch.no_grad():
            for value in other.parameters():
                value.zero_()
    resumed = trainer_of(other, name, meta_steps=4)
    resumed.load_state_dict(state)
    resumed.optimiser.load_state_dict(optimiser)
    assert train(resumed, 2) == train(uninterrupted, 2)
    assert same_weights(resumed, uninterrupted) and resumed.steps_done == 4
    moments = [trainer.optimiser.state_dict()["state"] for trainer in (resumed, uninterrupted)]
    torch.testing.assert_close(*moments, atol=0, rtol=0)


@trainable_learner
@pytest.mark.parametrize("vectorised", [False, True])
def test_the_same_seed_gives_the_same_step_with_a_random_model(name: str, vectorised: bool) -> None:
    def stepped(seed: int, before: int) -> MetaTrainer:
        trainer = trainer_of(Dropping(), name, vectorised=vectorised, tasks_at_once=2, seed=seed)
        torch.randn(before)  # draws of the caller
        train(trainer, 2)
        return trainer

    first, second, other = stepped(0, 1), stepped(0, 5), stepped(1, 1)
    assert same_weights(first, second) and not same_weights(first, other)


@trainable_learner
def test_a_meta_step_reports_the_mean_query_losses_before_and_after_adaptation(name: str) -> None:
    trainer = trainer_of(net_of(), name)
    learner = trainer.learner
    before = float(learner.score(learner.start(len(TASKS)), QUERY).mean())
    after = query_loss(learner)
    metrics = trainer.step(TASKS)
    assert (metrics.tasks, metrics.skipped) == (len(TASKS), 0) and metrics.gradient_norm > 0
    assert metrics.loss_before == pytest.approx(before, rel=1e-10)
    assert set(metrics.statistics) == set(learner.statistics) and set(metrics.counts) <= set(learner.counts)
    if name == "reptile":  # adapts on the query too
        assert metrics.loss_after < before
    elif name.startswith("finetune"):  # does not adapt while it trains
        assert metrics.loss_after == pytest.approx(before, rel=1e-10)
    else:
        assert metrics.loss_after == pytest.approx(after, rel=1e-10)


@pytest.mark.parametrize("name", GRADIENT)
def test_every_gradient_learner_works_with_adam_as_inner_solver(name: str) -> None:
    losses = train(trainer_of(net_of(), name, WIDE | {"inner_solver": "adam", "inner_lr": 0.02}), 25)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@trainable_learner
def test_a_task_without_usable_data_or_with_values_that_are_not_finite_is_skipped_and_counted(name: str) -> None:
    trainer, expected = trainer_of(net_of(), name), trainer_of(net_of(), name)
    mixed = [TASKS[0], lambda: None, spoiled(TASKS[1], "support"), lambda: TASKS[2], spoiled(TASKS[3], "query")]
    metrics = trainer.step(mixed)
    expected.step([TASKS[0], TASKS[2]])
    assert (metrics.tasks, metrics.skipped) == (5, 3) and same_weights(trainer, expected)
    before = copy.deepcopy(trainer.learner.state_dict())
    metrics = trainer.step([lambda: None])
    assert (metrics.tasks, metrics.skipped, trainer.failed_steps) == (1, 1, 1)
    assert same_weights(trainer.learner, before) and trainer.steps_done == 2


@trainable_learner
def test_a_trainer_moves_its_learner_its_model_and_its_optimiser(name: str) -> None:
    """`meta` is the only other device that every machine has."""
    trainer = trainer_of(net_of(), name)
    trainer.step(TASKS)
    assert trainer.to("meta") is trainer
    model = trainer.learner.domain.model
    buffers = [value for key, value in trainer.named_buffers() if key != "counters"]  # float64, always on the CPU
    moved = [*trainer.parameters(), *buffers, *model.parameters(), *model.buffers()]
    moments = [v for memory in trainer.optimiser.state.values() for k, v in memory.items() if k != "step"]
    assert moments and {value.device.type for value in (*moved, *moments)} == {"meta"}
    assert trainer.counters.device.type == "cpu" and trainer.steps_done == 1
    optimised = {id(value) for group in trainer.optimiser.param_groups for value in group["params"]}
    assert optimised == {id(value) for value in trainer.learner.parameters()}


@trainable_learner
def test_every_meta_parameter_is_in_one_group_of_the_optimiser(name: str) -> None:
    learner = trainer_of(net_of(), name).learner
    grouped = [parameter for group in learner.parameter_groups() for parameter in group.names]
    assert sorted(grouped) == sorted(key for key, _ in learner.named_parameters())
    assert set(learner.state_dict()) >= set(grouped), "the state dict has all meta-parameters"


@pytest.mark.parametrize("name", [name for name in EVERY if name not in TRAINABLE])
def test_a_learner_without_meta_parameters_is_refused_by_the_trainer(name: str) -> None:
    learner = learner_of(net_of(), name)
    text = f"learner '{name}' has nothing to meta-train; use it in clone or in a benchmark"
    with pytest.raises(UsageError) as caught:
        MetaTrainer(learner)
    assert str(caught.value) == text and not list(learner.parameters())
    with pytest.raises(UsageError) as caught:
        learner.meta_loss(TASKS)
    assert str(caught.value) == text


@pytest.mark.parametrize("name", ["sigma-maml", "sigma-imaml", "meta-sgd", "maml++", "alpha-maml"])
def test_restricting_keeps_the_learned_sigma_and_step_sizes_of_each_kept_module(name: str) -> None:
    trainer = trainer_of(net_of(), name, WIDE | {"first_order_fraction": 0.0})
    train(trainer, 2)
    learner = gradient_learner(trainer)
    part, values, kept = learner.restrict(["head", "first"]), learner.step_sizes.detach(), ("first", "head")
    assert part.layout.modules == kept
    assert part.module_variances() == {key: value for key, value in learner.module_variances().items() if key in kept}
    if learner.step_size_kind == "parameter":
        every, chosen = learner.layout.unflatten(values), part.layout.unflatten(part.step_sizes.detach())
        assert same_weights(chosen, {key: every[key] for key in chosen}) and len(values.unique()) > 1
    elif learner.step_size_kind == "module-step":
        rows = [learner.layout.modules.index(module) for module in kept]
        assert torch.equal(part.step_sizes, values[rows]) and not torch.equal(values[:2], values[rows])
    else:
        assert torch.equal(part.step_sizes, values)
