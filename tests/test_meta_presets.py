"""The meta-step of each learner against a direct implementation on dicts of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from toy_domains import Net, make_learner, modules_of, regression_loss, regression_task
from tts_meta.meta.presets import LEARNERS

from tts_meta.errors import UsageError
from tts_meta.meta import LearnerSettings, MetaLearner, Params, Task, Unrolled
from tts_meta.meta.prior import hyperprior_nll

RATE, STEPS = 0.01, 3
TASKS = [regression_task(1), regression_task(2), regression_task(3)]
PLAIN = LearnerSettings(
    inner_steps=STEPS, inner_lr=RATE, outer_solver="sgd", outer_lr=1.0, variance_lr=1.0, step_lr=1.0
)


def learner_of(name: str, settings: LearnerSettings = PLAIN, meta_steps: int = 1) -> MetaLearner:
    return make_learner(name, settings, meta_steps=meta_steps)


def moved(learner: MetaLearner, tasks: Sequence[Task] = TASKS) -> Params:
    """The gradient that gradient descent with a step size of one followed, by parameter."""
    before = {name: value.clone() for name, value in learner.meta_params().items()}
    learner.meta_step(tasks)
    return {name: before[name] - value for name, value in learner.meta_params().items()}


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


def leaves_of(learner: MetaLearner) -> Params:
    return {name: value.clone().requires_grad_() for name, value in learner.meta_params().items()}


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
    learner = learner_of(name)
    leaves = leaves_of(learner)
    losses = [loss_of(adapted(leaves, task, parts, lambda n, k: RATE)[-1], task.query) for task in TASKS]
    assert_gradient(moved(learner), torch.stack(losses).mean(), leaves, fixed)


def test_fomaml_follows_the_query_gradient_at_the_solution() -> None:
    learner = learner_of("fomaml")
    expected: Params = {}
    for task in TASKS:
        theta = adapted(leaves_of(learner), task, ALL, lambda n, k: RATE)[-1]
        point = {name: value.detach().requires_grad_() for name, value in theta.items()}
        gradients = torch.autograd.grad(loss_of(point, task.query), list(point.values()))
        for name, gradient in zip(point, gradients, strict=True):
            expected[name] = expected.get(name, torch.zeros_like(gradient)) + gradient / len(TASKS)
    for name, value in moved(learner).items():
        torch.testing.assert_close(value, expected[name], atol=1e-11, rtol=1e-11)


def test_reptile_moves_to_the_mean_of_the_tasks_solutions_on_all_their_data() -> None:
    learner = learner_of("reptile")
    start = {name: value.clone() for name, value in learner.meta_params().items()}
    all_data = [Task(tuple(torch.cat(pair) for pair in zip(t.support, t.query, strict=True))) for t in TASKS]
    solutions = [adapted(leaves_of(learner), task, ALL, lambda n, k: RATE)[-1] for task in all_data]
    for name, value in moved(learner).items():
        mean = torch.stack([theta[name].detach() for theta in solutions]).mean(0)
        torch.testing.assert_close(value, start[name] - mean, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("name", ["finetune-all", "finetune-embedding"])
def test_finetuning_fits_the_meta_parameters_to_all_data_of_all_tasks(name: str) -> None:
    learner = learner_of(name)
    leaves = leaves_of(learner)
    losses = [loss_of(leaves, task.support) + loss_of(leaves, task.query) for task in TASKS]
    assert_gradient(moved(learner), torch.stack(losses).mean(), leaves)


@pytest.mark.parametrize("name", ["maml", "meta-sgd", "maml++"])
def test_step_sizes_can_fall_over_an_inner_loop(name: str) -> None:
    changes = {"inner_lr_final_fraction": 0.2, "first_order_fraction": 0.0, "multi_step_loss_fraction": 0.0}
    learner = learner_of(name, PLAIN.model_copy(update=changes), 4)
    learner.progress[0] = 2
    leaves = leaves_of(learner)
    losses = [
        loss_of(adapted(leaves, task, ALL, lambda n, k: RATE * (1 - 0.8 * k / STEPS))[-1], task.query) for task in TASKS
    ]
    assert_gradient(moved(learner), torch.stack(losses).mean(), leaves)


def test_step_sizes_can_be_scaled_by_sigma() -> None:
    settings = PLAIN.model_copy(update={"scale_lr_by_sigma": True, "inner_lr_final_fraction": 0.5})
    learner = learner_of("sigma-imaml", settings)
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
    actual = learner.adapt(TASKS[0], STEPS).params
    for name, value in params.items():
        torch.testing.assert_close(actual[name], value.detach(), atol=1e-11, rtol=1e-11)
    with pytest.raises(UsageError, match="implicit gradients; 'maml' has none"):
        learner_of("maml", settings)


def test_meta_sgd_learns_a_step_size_for_each_parameter() -> None:
    learner = learner_of("meta-sgd")
    leaves, layout = leaves_of(learner), learner.domain.adapted
    rates = torch.full((layout.size,), RATE, dtype=torch.float64, requires_grad=True)
    named = layout.unflatten(rates)
    losses = [loss_of(adapted(leaves, task, ALL, lambda n, k: named[n])[-1], task.query) for task in TASKS]
    total = torch.stack(losses).mean()
    assert_gradient(moved(learner), total, leaves)
    expected = torch.autograd.grad(total, rates)[0]
    torch.testing.assert_close(RATE - learner.step_sizes.detach(), expected, atol=1e-11, rtol=1e-11)


def test_alpha_maml_moves_both_step_sizes_by_their_hypergradients() -> None:
    settings = PLAIN.model_copy(update={"outer_lr": 1e-3, "step_lr": 1e-6, "hypergradient_lr": 0.5})
    learner = learner_of("alpha-maml", settings)
    gradients, scale = [], 1.0
    for number in range(3):
        leaves, start = leaves_of(learner), learner.step_sizes.detach().clone()
        rate = start.clone().requires_grad_()
        losses = [loss_of(adapted(leaves, task, ALL, lambda n, k, r=rate: r)[-1], task.query) for task in TASKS]
        total = torch.stack(losses).mean()
        parts = torch.autograd.grad(total, [*leaves.values(), rate])
        gradients.append(learner.domain.adapted.flatten(dict(zip(leaves, parts, strict=False))))
        if number:
            scale *= 1 + 0.5 * float(torch.cosine_similarity(gradients[-1], gradients[-2], dim=0))
        actual = learner.domain.adapted.flatten(moved(learner))
        torch.testing.assert_close(actual, 1e-3 * scale * gradients[-1], atol=1e-11, rtol=1e-9)
        torch.testing.assert_close(start - learner.step_sizes.detach(), 1e-6 * scale * parts[-1], atol=1e-12, rtol=1e-9)
    assert scale != 1.0


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_alpha_maml_scales_the_outer_learning_rate_by_the_effect_of_a_longer_last_step(solver: str) -> None:
    """For both optimisers; the effect comes from finite differences of the last step, for all parameters at once."""
    rate, change = 1e-3, 1e-5
    settings = PLAIN.model_copy(update={"outer_solver": solver, "step_lr": 0.0, "hypergradient_lr": 0.5})
    learners = [
        learner_of("alpha-maml", settings.model_copy(update={"outer_lr": rate * (1 + part)}))
        for part in (0.0, change, -change)
    ]
    steps = [moved(learner) for learner in learners]
    actual, longer, shorter = (learner.meta_step(TASKS) for learner in learners)
    length = float(torch.cat([step.flatten() for step in steps[0].values()]).norm())
    cosine = (shorter.loss_after - longer.loss_after) / (2 * change) / (actual.gradient_norm * length)
    assert abs(cosine) > 0.01 and float(learners[0].progress[2]) == pytest.approx(1 + 0.5 * cosine, abs=1e-6)


def test_maml_plus_plus_learns_a_step_size_for_each_module_and_step() -> None:
    learner = learner_of(
        "maml++", PLAIN.model_copy(update={"first_order_fraction": 0.0, "multi_step_loss_fraction": 1.0}), 4
    )
    assert learner.step_sizes.shape == (4, STEPS)
    learner.progress[0] = 2  # halfway: weights 1/6, 1/6, 4/6
    leaves = leaves_of(learner)
    rates = torch.full((4, STEPS), RATE, dtype=torch.float64, requires_grad=True)
    losses = []
    for task in TASKS:
        steps = adapted(leaves, task, ALL, lambda n, k: rates[ALL.index(n.split(".")[0]), k])[1:]
        scored = torch.stack([loss_of(params, task.query) for params in steps])
        losses.append(scored @ torch.tensor([1 / 6, 1 / 6, 4 / 6], dtype=torch.float64))
    total = torch.stack(losses).mean()
    assert_gradient(moved(learner), total, leaves)
    expected = torch.autograd.grad(total, rates)[0]
    torch.testing.assert_close(RATE - learner.step_sizes.detach(), expected, atol=1e-11, rtol=1e-11)


def test_maml_plus_plus_anneals_from_all_steps_to_the_last_and_from_first_to_second_order() -> None:
    settings = LearnerSettings(inner_steps=4, multi_step_loss_fraction=0.5, first_order_fraction=0.2)
    estimators = {part: LEARNERS["maml++"].estimator(settings, part) for part in (0.0, 0.1, 0.2, 0.4, 0.5, 1.0)}
    assert all(isinstance(estimator, Unrolled) for estimator in estimators.values())
    assert [estimator.order for estimator in estimators.values() if isinstance(estimator, Unrolled)] == [
        1,
        1,
        2,
        2,
        2,
        2,
    ]
    weights = [estimator.step_weights for estimator in estimators.values() if isinstance(estimator, Unrolled)]
    assert weights[0] == pytest.approx((0.25,) * 4) and weights[4] == weights[5] == ()
    assert all(sum(step_weights) == pytest.approx(1) for step_weights in weights[:4])
    last = [step_weights[-1] for step_weights in weights[:4]]
    assert last == sorted(last) and len(set(last)) == 4


@pytest.mark.parametrize("name", ["imaml", "sigma-imaml", "sigma-reptile", "sigma-maml"])
def test_only_shrinkage_learners_move_the_variances(name: str) -> None:
    learner = learner_of(name, PLAIN.model_copy(update={"variance": 0.1, "outer_lr": 1e-3, "variance_lr": 1e-3}))
    before = learner.log_variances.detach().clone()
    learner.meta_step(TASKS)
    changed = before != learner.log_variances.detach()
    assert bool(changed.all()) if name.startswith("sigma") else not changed.any()
    assert set(learner.variances()) == set(ALL)


def test_sigma_maml_is_maml_with_proximal_steps() -> None:
    learner = learner_of("sigma-maml", PLAIN.model_copy(update={"variance": 0.2}))
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
    assert_gradient(moved(learner), total, leaves)
    torch.testing.assert_close(start - learner.log_variances.detach(), expected, atol=1e-11, rtol=1e-11)


def test_a_hyperprior_counts_once_for_any_number_of_tasks() -> None:
    settings = PLAIN.model_copy(update={"variance": 0.2, "hyperprior_scale": 0.3})
    for kind in ("half-cauchy", "exponential"):
        flat, other = (learner_of("sigma-maml", replace_kind(settings, k)) for k in ("flat", kind))
        start = flat.log_variances.detach().clone().requires_grad_()
        slope = torch.autograd.grad(hyperprior_nll(start, kind, 0.3), start)[0]
        for learner in (flat, other):
            learner.meta_step(TASKS)
        torch.testing.assert_close(flat.log_variances.detach() - other.log_variances.detach(), slope)


def replace_kind(settings: LearnerSettings, kind: str) -> LearnerSettings:
    return settings.model_copy(update={"hyperprior": kind})


def test_given_modules_replace_those_of_the_preset() -> None:
    net = Net()
    learner = MetaLearner("maml", net, regression_loss, modules_of(net), PLAIN, modules=("head", "first"))
    leaves = leaves_of(learner)
    losses = [loss_of(adapted(leaves, task, ("first", "head"), lambda n, k: RATE)[-1], task.query) for task in TASKS]
    assert_gradient(moved(learner), torch.stack(losses).mean(), leaves)
    assert learner.domain.adapted.modules == ("first", "head")


def test_an_inner_step_uses_the_data_that_the_task_draws() -> None:
    """A task that draws different data in each step adapts on these data, not on its support."""
    others = [regression_task(seed).support for seed in (7, 8, 9)]
    task = replace(TASKS[0], draw=lambda step: others[step])
    learner = learner_of("maml")
    leaves = leaves_of(learner)
    theta = dict(leaves)
    for data in others:
        gradients = torch.autograd.grad(loss_of(theta, data), list(theta.values()), create_graph=True)
        theta = {n: theta[n] - RATE * g for n, g in zip(theta, gradients, strict=True)}
    assert_gradient(moved(learner, [task]), loss_of(theta, task.query), leaves)
