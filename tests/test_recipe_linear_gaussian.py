"""The recipe linear_gaussian: its tasks, its closed forms, its verdicts, and a tiny run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from toy_domains import gradient_learner

from recipes.linear_gaussian.experiment import Experiment, Job, best_deviations_of, run
from recipes.linear_gaussian.oracle import MAP, Solver, best_deviations, centre_lower_bound, expected_loss
from recipes.linear_gaussian.report import draw, judge, report
from recipes.linear_gaussian.tasks import LinearGaussian
from recipes.toy_benchmark import TrainingPlan, domain_of
from tts_meta.config import load_config
from tts_meta.meta import Budget, GradientLearner, Task, TrainerSettings, create_learner

TRUTH = {"constant": 0.0, "little": 0.3, "much": 1.0}
FAMILY = LinearGaussian(deviations=TRUTH, size=3, points=12)
OTHER_SIGMA = torch.tensor([0.2, 0.5, 0.8])  # different from the true σ
YAML = Path(__file__).resolve().parents[1] / "recipes" / "linear_gaussian" / "linear_gaussian.yaml"


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_coefficients_come_from_the_prior() -> None:
    theta = FAMILY.coefficients(20_000, draws())
    torch.testing.assert_close(theta.mean(0), FAMILY.centre, atol=0.03, rtol=0)
    torch.testing.assert_close(theta.std(0), torch.tensor([0.0, 0.3, 1.0]).repeat_interleave(3), atol=0.02, rtol=0)


def test_inputs_have_variance_one_and_the_configured_correlation() -> None:
    x = FAMILY.inputs(2_000, draws()).flatten(0, 1)
    expected = torch.eye(9)
    for shift in (3, 6):
        expected += FAMILY.correlation * (torch.ones(9 - shift).diag(shift) + torch.ones(9 - shift).diag(-shift))
    torch.testing.assert_close(torch.cov(x.T), expected, atol=0.03, rtol=0)


def test_the_residuals_of_the_true_coefficients_are_the_noise() -> None:
    tasks = FAMILY.tasks(3_000, seed=5)
    generator = draws(5)
    FAMILY.inputs(3_000, generator)
    theta = FAMILY.coefficients(3_000, generator)
    for part in ("support", "query"):
        x, y = (torch.stack([getattr(task, part)[index] for task in tasks]) for index in (0, 1))
        residuals = y - torch.einsum("tnp,tp->tn", x, theta)
        assert residuals.std().item() == pytest.approx(FAMILY.noise, rel=0.02)
        assert abs(residuals.mean().item()) < 0.05


def test_the_same_seed_gives_the_same_tasks() -> None:
    torch.testing.assert_close(FAMILY.tasks(2, 3)[1].query, FAMILY.tasks(2, 3)[1].query)
    assert not torch.equal(FAMILY.tasks(1, 3)[0].query[1], FAMILY.tasks(1, 4)[0].query[1])


def learner_at(sigma: torch.Tensor, rate: float = 0.02) -> GradientLearner:
    """A learner at the true φ and the given σ of each module."""
    domain = domain_of(FAMILY, FAMILY.model(0))
    learner = gradient_learner(create_learner("sigma-imaml", domain, {"inner_lr": rate}))
    with torch.no_grad():
        learner.adapted.copy_(FAMILY.centre)
        learner.log_variances.copy_(2 * sigma.log())
    return learner


@pytest.mark.parametrize("solver, steps", [(MAP, 3_000), (Solver(4, 0.02), 4)])
def test_closed_form_solutions_equal_those_of_the_learner(solver: Solver, steps: int) -> None:
    task = FAMILY.tasks(1, 0)[0]
    params = learner_at(OTHER_SIGMA).adapt([task], Budget(steps)).task(0)
    actual = torch.cat([value.flatten() for value in params.values()]) - FAMILY.centre
    x, y = (value.double() for value in task.support)
    gain = solver.gain(x[None], OTHER_SIGMA.repeat_interleave(3).double(), FAMILY.noise)[0]
    torch.testing.assert_close(actual.double(), gain @ (y - x @ FAMILY.centre.double()), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("solver, steps", [(MAP, 200), (Solver(4, 0.02), 4)])
def test_the_expected_loss_is_the_mean_over_coefficients_and_noise(solver: Solver, steps: int) -> None:
    generator = draws(1)
    x, count = FAMILY.inputs(1, generator), 3_000
    theta = FAMILY.coefficients(count, generator)
    y = theta @ x[0].T + FAMILY.noise * torch.randn(count, 24, generator=generator)
    tasks = [Task((x[0, :12], row[:12]), (x[0, 12:], row[12:])) for row in y]
    learner = learner_at(OTHER_SIGMA)
    losses = learner.score(learner.adapt(tasks, Budget(steps)).params, [task.query for task in tasks])
    error = losses.std().item() / math.sqrt(count)
    expected = expected_loss(FAMILY, x.double(), OTHER_SIGMA.repeat_interleave(3).double(), solver).item()
    assert losses.mean().item() == pytest.approx(expected, abs=3 * error)


def test_the_optimal_sigma_of_the_map_is_the_true_sigma() -> None:
    assert best_deviations(FAMILY, tasks=30) == pytest.approx(TRUTH, abs=0.005)


def test_no_other_sigma_has_a_smaller_expected_loss_than_the_optimum() -> None:
    solver = Solver(60, 0.03)
    best = torch.tensor(list(best_deviations(FAMILY, solver, tasks=30).values())).double()
    x = FAMILY.inputs(30, draws()).double()

    def loss(sigma: torch.Tensor) -> float:
        return expected_loss(FAMILY, x, sigma.repeat_interleave(3), solver).item()

    for module in range(3):
        for factor, shift in ((0.8, 0.0), (1.25, 0.0), (1.0, 0.05)):
            other = best.clone()
            other[module] = other[module] * factor + shift
            assert loss(other) >= loss(best) - 1e-9


def test_least_squares_on_the_tasks_reach_the_lower_bound() -> None:
    count, errors = 200, []
    for seed in range(30):
        tasks = FAMILY.tasks(count, 100 + seed)
        x, y = (torch.stack([torch.cat([t.support[i], t.query[i]]) for t in tasks]).double() for i in (0, 1))
        cover = (x * FAMILY.deviation.double() ** 2) @ x.mT + FAMILY.noise**2 * torch.eye(24).double()
        weighted = torch.linalg.solve(cover, torch.cat([x, y[..., None]], -1))
        sums = (x.mT @ weighted).sum(0)
        errors.append((torch.linalg.solve(sums[:, :9], sums[:, 9]) - FAMILY.centre).square().sum())
    actual = torch.stack(errors).mean().sqrt() / FAMILY.centre.norm()
    assert actual.item() == pytest.approx(centre_lower_bound(FAMILY, count), rel=0.15)


def test_a_verdict_fails_for_each_missed_threshold() -> None:
    best = TRUTH | {"much": math.inf}
    good = judge(TRUTH, best, {"constant": 0.02, "little": 0.29, "much": 7.0}, 0.01)
    assert good.shrunk and good.close and good.recovered
    bad = judge(TRUTH, best, {"constant": 0.04, "little": 0.2, "much": 1.0}, 0.06)
    assert not (bad.shrunk or bad.close or bad.recovered)


def test_a_tiny_run_of_the_recipe_reports_every_learner() -> None:
    recipe = load_config(YAML, Experiment)
    plans = {
        name: plan.model_copy(update={"pretrain_steps": 20, "meta_steps": 15, "tasks": 8})
        for name, plan in recipe.learners.items()
    }
    experiment = Experiment(family=FAMILY, learners=plans, seeds=2)
    jobs = [Job(FAMILY, name, plan, seed) for name, plan in plans.items() for seed in (0, 1)]
    actual = {name: [run(job) for job in jobs if job.name == name] for name in plans}
    for runs in actual.values():
        assert runs[0].deviations.shape == (16, 3) and runs[0].errors.shape == (3,)
        assert runs[0].errors[1] < runs[0].errors[0]
        assert not torch.equal(runs[0].deviations, runs[1].deviations)
    best = {job.name: best_deviations_of(job) for job in jobs[::2]}
    text = report(experiment, actual, {name: runs[0] for name, runs in actual.items()}, TRUTH, best)
    assert all(f"| {name} | " in text for name in plans) and "∞" in text
    assert len(draw(experiment, actual, best).axes) == 3


@pytest.mark.parametrize("name", ["sigma-imaml", "sigma-reptile"])
def test_implicit_learners_shrink_the_module_that_all_tasks_share(name: str) -> None:
    settings = {"inner_steps": 15, "inner_lr": 0.05, "variance": 0.01, "variance_lr": 0.4}
    trainer = TrainerSettings(outer_lr=0.02, outer_lr_final_fraction=0.0)
    plan = TrainingPlan(
        settings=settings, trainer=trainer, meta_steps=120, tasks=40, pretrain_steps=150, pretrain_lr=0.1
    )
    actual = run(Job(FAMILY, name, plan, 0))
    constant, little, much = actual.deviations[-1].tolist()
    assert constant < 0.1 * much and constant < 0.25 * little and actual.errors[-1] < 0.1
