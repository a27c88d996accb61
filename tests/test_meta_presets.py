"""The meta-step of each learner against a direct implementation on dicts of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from toy_domains import Net, gradient_learner, make_trainer, regression_loss, regression_task

from tts_meta.errors import UsageError
from tts_meta.meta import Budget, GradientLearner, MetaTrainer, Params, Task, Unrolled, create_learner
from tts_meta.meta.prior import hyperprior_nll

RATE, STEPS = 0.01, 3
TASKS = [regression_task(1), regression_task(2), regression_task(3)]
PLAIN: dict[str, Any] = {
    "inner_steps": STEPS,
    "inner_lr": RATE,
    "outer_solver": "sgd",
    "outer_lr": 1.0,
    "variance_lr": 1.0,
    "step_lr": 1.0,
}


def trained_by(name: str, settings: dict[str, Any] = PLAIN, meta_steps: int = 1) -> tuple[MetaTrainer, GradientLearner]:
    """A trainer and its learner."""
    trainer = make_trainer(name, settings, meta_steps=meta_steps)
    return trainer, gradient_learner(trainer)


def moved(trainer: MetaTrainer, tasks: Sequence[Task] = TASKS) -> Params:
    """The gradient that gradient descent with a step size of one followed, by parameter."""
    before = {name: value.clone() for name, value in trainer.learner.model_parameters().items()}
    trainer.step(tasks)
    return {name: before[name] - value for name, value in trainer.learner.model_parameters().items()}


def loss_of(params: Params, data: tuple[Tensor, Tensor]) -> Tensor:
    return regression_loss(lambda x: functional_call(Net(), params, (x,)), data)


def adapted(
    params: Params, task: Task, parts: Sequence[str], rates: Callable[[str, int], Tensor | float]
) -> list[Params]:
    """The parameters after each step of gradient descent on the support, for names that start with one of `parts`."""
    actual = [params]
    for step in range(STEPS):
        names = [name for name in params if name.startswith(tuple(parts))]
        gradients = torch.autograd.grad(
            loss_of(actual[-1], task.support), [actual[-1][n] for n in names], create_graph=True
        )
        steps = {n: actual[-1][n] - rates(n, step) * g for n, g in zip(names, gradients, strict=True)}
        actual.append(actual[-1] | steps)
    return actual


def leaves_of(learner: GradientLearner) -> Params:
    return {name: value.clone().requires_grad_() for name, value in learner.model_parameters().items()}


def assert_gradient(actual: Params, total: Tensor, leaves: Params, fixed: Sequence[str] = ()) -> None:
    """`actual` must be the gradient of `total`, and zero for the parameters in `fixed`."""
    gradients = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True, retain_graph=True)
    for name, gradient in zip(leaves, gradients, strict=True):
        expected = torch.zeros_like(gradient) if name in fixed else gradient
        torch.testing.assert_close(actual[name], expected, atol=1e-11, rtol=1e-11)


ALL = ("context", "first", "second", "head")


@pytest.mark.parametrize(
    "name, parts, fixed", [("maml", ALL, ()), ("anil", ("head",), ()), ("cavia", ("context",), ("context",))]
)
def test_unrolled_learners_differentiate_the_steps_of_the_adapted_modules(
    name: str, parts: tuple, fixed: tuple
) -> None:
    trainer, learner = trained_by(name)
    leaves = leaves_of(learner)
    losses = [loss_of(adapted(leaves, task, parts, lambda n, k: RATE)[-1], task.query) for task in TASKS]
    assert_gradient(moved(trainer), torch.stack(losses).mean(), leaves, fixed)


def test_fomaml_follows_the_query_gradient_at_the_solution() -> None:
    trainer, learner = trained_by("fomaml")
    expected: Params = {}
    for task in TASKS:
        theta = adapted(leaves_of(learner), task, ALL, lambda n, k: RATE)[-1]
        point = {name: value.detach().requires_grad_() for name, value in theta.items()}
        gradients = torch.autograd.grad(loss_of(point, task.query), list(point.values()))
        for name, gradient in zip(point, gradients, strict=True):
            expected[name] = expected.get(name, torch.zeros_like(gradient)) + gradient / len(TASKS)
    for name, value in moved(trainer).items():
        torch.testing.assert_close(value, expected[name], atol=1e-11, rtol=1e-11)


def test_reptile_moves_to_the_mean_of_the_tasks_solutions_on_all_their_data() -> None:
    trainer, learner = trained_by("reptile")
    start = {name: value.clone() for name, value in learner.model_parameters().items()}
    all_data = [Task(tuple(torch.cat(pair) for pair in zip(t.support, t.query, strict=True))) for t in TASKS]
    solutions = [adapted(leaves_of(learner), task, ALL, lambda n, k: RATE)[-1] for task in all_data]
    for name, value in moved(trainer).items():
        mean = torch.stack([theta[name].detach() for theta in solutions]).mean(0)
        torch.testing.assert_close(value, start[name] - mean, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("name", ["finetune-all", "finetune-embedding"])
def test_finetuning_fits_the_meta_parameters_to_all_data_of_all_tasks(name: str) -> None:
    trainer, learner = trained_by(name)
    leaves = leaves_of(learner)
    losses = [loss_of(leaves, task.support) + loss_of(leaves, task.query) for task in TASKS]
    assert_gradient(moved(trainer), torch.stack(losses).mean(), leaves)


@pytest.mark.parametrize("name", ["maml", "meta-sgd", "maml++"])
def test_step_sizes_can_fall_over_an_inner_loop(name: str) -> None:
    changes = {"inner_lr_final_fraction": 0.2, "first_order_fraction": 0.0, "multi_step_loss_fraction": 0.0}
    trainer, learner = trained_by(name, PLAIN | changes, 4)
    trainer.counters[0] = 2
    leaves = leaves_of(learner)
    losses = [
        loss_of(adapted(leaves, task, ALL, lambda n, k: RATE * (1 - 0.8 * k / STEPS))[-1], task.query) for task in TASKS
    ]
    assert_gradient(moved(trainer), torch.stack(losses).mean(), leaves)


def test_step_sizes_can_be_scaled_by_sigma() -> None:
    _, learner = trained_by("sigma-imaml", PLAIN | {"scale_lr_by_sigma": True, "inner_lr_final_fraction": 0.5})
    with torch.no_grad():
        learner.log_variances.add_(torch.linspace(-2, 0, len(learner.log_variances)))
    sigma = {name: variance**0.5 for name, variance in learner.variances().items()}
    params = leaves_of(learner)
    start = {name: value.detach() for name, value in params.items()}
    for step in range(STEPS):
        gradients = torch.autograd.grad(loss_of(params, TASKS[0].support), list(params.values()))
        for (name, value), gradient in zip(list(params.items()), gradients, strict=True):
            module_sigma = sigma[name.split(".")[0]]
            rate = RATE * module_sigma * (1 - 0.5 * step / STEPS)
            delta = (value - start[name] - rate * gradient) / (1 + rate / module_sigma**2)
            params[name] = (start[name] + delta).detach().requires_grad_()
    actual = learner.adapt([TASKS[0]], Budget(STEPS)).task(0)
    for name, value in params.items():
        torch.testing.assert_close(actual[name], value.detach(), atol=1e-11, rtol=1e-11)
    for other in ("maml", "sigma-maml"):
        with pytest.raises(UsageError, match=f"learner '{other}': unknown key 'scale_lr_by_sigma'"):
            create_learner(other, learner.domain, {"scale_lr_by_sigma": True})


def test_meta_sgd_learns_a_step_size_for_each_parameter() -> None:
    trainer, learner = trained_by("meta-sgd")
    leaves, layout = leaves_of(learner), learner.layout
    rates = torch.full((layout.size,), RATE, dtype=torch.float64, requires_grad=True)
    named = layout.unflatten(rates)
    losses = [loss_of(adapted(leaves, task, ALL, lambda n, k: named[n])[-1], task.query) for task in TASKS]
    total = torch.stack(losses).mean()
    assert_gradient(moved(trainer), total, leaves)
    expected = torch.autograd.grad(total, rates)[0]
    torch.testing.assert_close(RATE - learner.step_sizes.detach(), expected, atol=1e-11, rtol=1e-11)


def test_alpha_maml_moves_both_step_sizes_by_their_hypergradients() -> None:
    changes = {"outer_lr": 1e-3, "step_lr": 1e-6, "hypergradient_lr": 0.5}
    trainer, learner = trained_by("alpha-maml", PLAIN | changes)
    gradients, scale = [], 1.0
    for number in range(3):
        leaves, start = leaves_of(learner), learner.step_sizes.detach().clone()
        rate = start.clone().requires_grad_()
        losses = [loss_of(adapted(leaves, task, ALL, lambda n, k, r=rate: r)[-1], task.query) for task in TASKS]
        total = torch.stack(losses).mean()
        parts = torch.autograd.grad(total, [*leaves.values(), rate])
        gradients.append(learner.layout.flatten(dict(zip(leaves, parts, strict=False))))
        if number:
            scale *= 1 + 0.5 * float(torch.cosine_similarity(gradients[-1], gradients[-2], dim=0))
        actual = learner.layout.flatten(moved(trainer))
        torch.testing.assert_close(actual, 1e-3 * scale * gradients[-1], atol=1e-11, rtol=1e-9)
        torch.testing.assert_close(start - learner.step_sizes.detach(), 1e-6 * scale * parts[-1], atol=1e-12, rtol=1e-9)
    assert scale != 1.0


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_alpha_maml_scales_the_outer_learning_rate_by_the_effect_of_a_longer_last_step(solver: str) -> None:
    """For both optimisers; the effect comes from finite differences of the last step, for all parameters at once."""
    rate, change = 1e-3, 1e-5
    settings = PLAIN | {"outer_solver": solver, "step_lr": 0.0, "hypergradient_lr": 0.5}
    trainers = [
        trained_by("alpha-maml", settings | {"outer_lr": rate * (1 + part)})[0] for part in (0.0, change, -change)
    ]
    steps = [moved(trainer) for trainer in trainers]
    actual, longer, shorter = (trainer.step(TASKS) for trainer in trainers)
    length = float(torch.cat([step.flatten() for step in steps[0].values()]).norm())
    cosine = (shorter.loss_after - longer.loss_after) / (2 * change) / (actual.gradient_norm * length)
    assert abs(cosine) > 0.01 and float(trainers[0].counters[2]) == pytest.approx(1 + 0.5 * cosine, abs=1e-6)


def test_maml_plus_plus_learns_a_step_size_for_each_module_and_step() -> None:
    changes = {"first_order_fraction": 0.0, "multi_step_loss_fraction": 1.0}
    trainer, learner = trained_by("maml++", PLAIN | changes, 4)
    assert learner.step_sizes.shape == (4, STEPS)
    trainer.counters[0] = 2  # halfway: weights 1/6, 1/6, 4/6
    leaves = leaves_of(learner)
    rates = torch.full((4, STEPS), RATE, dtype=torch.float64, requires_grad=True)
    losses = []
    for task in TASKS:
        steps = adapted(leaves, task, ALL, lambda n, k: rates[ALL.index(n.split(".")[0]), k])[1:]
        scored = torch.stack([loss_of(params, task.query) for params in steps])
        losses.append(scored @ torch.tensor([1 / 6, 1 / 6, 4 / 6], dtype=torch.float64))
    total = torch.stack(losses).mean()
    assert_gradient(moved(trainer), total, leaves)
    expected = torch.autograd.grad(total, rates)[0]
    torch.testing.assert_close(RATE - learner.step_sizes.detach(), expected, atol=1e-11, rtol=1e-11)


def test_maml_plus_plus_anneals_from_all_steps_to_the_last_and_from_first_to_second_order() -> None:
    _, learner = trained_by("maml++", {"inner_steps": 4, "multi_step_loss_fraction": 0.5, "first_order_fraction": 0.2})
    estimators = list[Unrolled]()
    for learner.progress in (0.0, 0.1, 0.2, 0.4, 0.5, 1.0):
        estimator = learner.estimator()
        assert isinstance(estimator, Unrolled)
        estimators.append(estimator)
    assert [estimator.order for estimator in estimators] == [1, 1, 2, 2, 2, 2]
    weights = [estimator.step_weights for estimator in estimators]
    assert weights[0] == pytest.approx((0.25,) * 4) and weights[4] == weights[5] == ()
    assert all(sum(step_weights) == pytest.approx(1) for step_weights in weights[:4])
    last = [step_weights[-1] for step_weights in weights[:4]]
    assert last == sorted(last) and len(set(last)) == 4


@pytest.mark.parametrize("name", ["imaml", "sigma-imaml", "sigma-reptile", "sigma-maml"])
def test_only_shrinkage_learners_move_the_variances(name: str) -> None:
    trainer, learner = trained_by(name, PLAIN | {"variance": 0.1, "outer_lr": 1e-3, "variance_lr": 1e-3})
    before = learner.log_variances.detach().clone()
    trainer.step(TASKS)
    changed = before != learner.log_variances.detach()
    assert bool(changed.all()) if name.startswith("sigma") else not changed.any()
    assert set(learner.variances()) == set(ALL)


def test_sigma_maml_is_maml_with_proximal_steps() -> None:
    trainer, learner = trained_by("sigma-maml", PLAIN | {"variance": 0.2})
    leaves, start = leaves_of(learner), learner.log_variances.detach().clone()
    values = start.clone().requires_grad_()
    losses = []
    for task in TASKS:
        theta = dict(leaves)
        for _ in range(STEPS):
            gradients = torch.autograd.grad(loss_of(theta, task.support), list(theta.values()), create_graph=True)
            for name, gradient in zip(list(theta), gradients, strict=True):
                ratio = RATE * torch.exp(-values[ALL.index(name.split(".")[0])])
                theta[name] = (theta[name] - RATE * gradient + ratio * leaves[name]) / (1 + ratio)
        losses.append(loss_of(theta, task.query))
    total = torch.stack(losses).mean()
    expected = torch.autograd.grad(total, values, retain_graph=True)[0]
    assert_gradient(moved(trainer), total, leaves)
    torch.testing.assert_close(start - learner.log_variances.detach(), expected, atol=1e-11, rtol=1e-11)


def test_a_hyperprior_counts_once_for_any_number_of_tasks() -> None:
    settings = PLAIN | {"variance": 0.2, "hyperprior_scale": 0.3}
    for kind in ("half-cauchy", "exponential"):
        pairs = [trained_by("sigma-maml", settings | {"hyperprior": k}) for k in ("flat", kind)]
        flat, other = (learner for _, learner in pairs)
        start = flat.log_variances.detach().clone().requires_grad_()
        slope = torch.autograd.grad(hyperprior_nll(start, kind, 0.3), start)[0]
        for trainer, _ in pairs:
            trainer.step(TASKS)
        torch.testing.assert_close(flat.log_variances.detach() - other.log_variances.detach(), slope)


def test_given_modules_replace_those_of_the_learner() -> None:
    trainer = make_trainer("maml", PLAIN, modules=("head", "first"))
    learner = gradient_learner(trainer)
    leaves = leaves_of(learner)
    losses = [loss_of(adapted(leaves, task, ("first", "head"), lambda n, k: RATE)[-1], task.query) for task in TASKS]
    assert_gradient(moved(trainer), torch.stack(losses).mean(), leaves)
    assert learner.layout.modules == ("first", "head")


def test_an_inner_step_uses_the_data_that_the_task_draws() -> None:
    """A task that draws different data in each step adapts on these data, not on its support."""
    others = [regression_task(seed).support for seed in (7, 8, 9)]
    task = replace(TASKS[0], draw=lambda step: others[step])
    trainer, learner = trained_by("maml")
    leaves = leaves_of(learner)
    theta = dict(leaves)
    for data in others:
        gradients = torch.autograd.grad(loss_of(theta, data), list(theta.values()), create_graph=True)
        theta = {n: theta[n] - RATE * g for n, g in zip(theta, gradients, strict=True)}
    assert_gradient(moved(trainer, [task]), loss_of(theta, task.query), leaves)
