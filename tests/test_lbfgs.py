"""L-BFGS as inner solver: minima of known problems, rows of tasks, the learners that use it, and its stopping rule."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor
from toy_domains import (
    GRADIENT,
    Blocks,
    gradient_learner,
    make_learner,
    make_trainer,
    modules_of,
    quadratic_task,
    regression_domain,
    regression_task,
)

from tts_meta.errors import UsageError
from tts_meta.meta import LEARNERS, Budget, ParameterLayout
from tts_meta.meta.learners.imaml import ImplicitLearner
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.solvers.inner_loop import Diverged
from tts_meta.meta.solvers.inner_solvers import Lbfgs
from tts_meta.meta.solvers.lbfgs import LbfgsResult, run_lbfgs
from tts_meta.meta.solvers.stopping import ReductionStop

IMPLICIT = [name for name in GRADIENT if issubclass(LEARNERS[name], ImplicitLearner)]
TASKS = [regression_task(seed) for seed in range(3)]
SETTINGS = {"inner_solver": "l-bfgs", "inner_steps": 200, "variance": 0.2, "cg_max_iters": 200, "tolerance": 1e-8}
LAYOUT = ParameterLayout.from_modules(Blocks(), modules_of(Blocks()))
LOG_VARIANCES = torch.tensor([-4.0, 0.0, 3.0], dtype=torch.float64)


def quadratics(count: int) -> tuple[Tensor, Tensor]:
    """Curvature `(T, P, P)` and centre `(T, P)` of the support of `count` tasks."""
    support = [quadratic_task(seed).support for seed in range(count)]
    return torch.stack([data.curvature for data in support]), torch.stack([data.centre for data in support])


def solve(
    curvature: Tensor, centre: Tensor, log_variances: Tensor = LOG_VARIANCES, tolerance: float = 1e-9, **more
) -> LbfgsResult:
    def nll(params: Tensor) -> Tensor:
        difference = params - centre
        return 0.5 * torch.einsum("tp,tpq,tq->t", difference, curvature, difference)

    prior, phi = ShrinkagePrior(LAYOUT, log_variances), torch.ones(7, dtype=torch.float64)
    return run_lbfgs(nll, phi, prior, Lbfgs(tolerance=tolerance), 100, len(centre), **more)


def exact(curvature: Tensor, centre: Tensor, log_variances: Tensor = LOG_VARIANCES) -> Tensor:
    """δ of the minimum, (H + Σ⁻¹)⁻¹ H (centre - φ)."""
    precision = torch.diag(ShrinkagePrior(LAYOUT, log_variances).precision())
    return torch.linalg.solve(curvature + precision, (curvature @ (centre - 1)[..., None])[..., 0])


def test_the_minimum_of_a_quadratic_is_that_of_the_linear_system() -> None:
    curvature, centre = quadratics(3)
    result = solve(curvature, centre)
    torch.testing.assert_close(result.displacement, exact(curvature, centre), atol=1e-8, rtol=1e-7)
    assert max(result.steps) < 60, "no more than a few steps for each of the seven parameters"


def test_modules_without_a_prior_are_solved_in_their_own_units() -> None:
    curvature, centre = quadratics(2)
    log_variances = torch.tensor([math.inf, 0.0, math.inf], dtype=torch.float64)
    expected = exact(curvature, centre, torch.tensor([80.0, 0.0, 80.0], dtype=torch.float64))
    actual = solve(curvature, centre, log_variances).displacement
    torch.testing.assert_close(actual, expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("log_variance", [-40.0, 20.0])
def test_bounds_of_the_learned_variance_are_solved(log_variance: float) -> None:
    curvature, centre = quadratics(2)
    log_variances = torch.full((3,), log_variance, dtype=torch.float64)
    torch.testing.assert_close(
        solve(curvature, centre, log_variances).displacement,
        exact(curvature, centre, log_variances),
        atol=1e-12 if log_variance < 0 else 1e-5,
        rtol=1e-5,
    )


def test_tasks_do_not_influence_each_other() -> None:
    curvature, centre = quadratics(3)
    curvature = curvature * torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)[:, None, None]
    together = solve(curvature, centre)
    assert len(set(together.steps)) > 1, "the tasks converge after different numbers of steps"
    for index in range(3):
        alone = solve(curvature[index : index + 1], centre[index : index + 1])
        assert alone.steps[0] == together.steps[index]
        torch.testing.assert_close(together.displacement[index], alone.displacement[0])
        torch.testing.assert_close(together.losses[: alone.steps[0], index], alone.losses[:, 0])
        assert bool(together.losses[alone.steps[0] :, index].isnan().all())


def test_a_loop_from_the_minimum_takes_no_step() -> None:
    curvature, centre = quadratics(2)
    found = solve(curvature, centre)
    again = solve(curvature, centre, start=found.displacement, tolerance=1e-6)
    assert again.steps == (0, 0)
    torch.testing.assert_close(again.displacement, found.displacement)


def test_a_row_that_is_not_finite_does_not_change_the_others() -> None:
    curvature, centre = quadratics(3)
    broken = centre.clone()
    broken[1] = math.nan
    result, expected = solve(curvature, broken), solve(curvature, centre)
    assert bool(result.displacement[1].isnan().all()) and result.steps[1] == 0
    for index in (0, 2):
        torch.testing.assert_close(result.displacement[index], expected.displacement[index])
    with pytest.raises(Diverged, match="the loss is not finite before the first step"):
        solve(curvature, torch.full_like(centre, math.nan))


def test_a_step_to_a_loss_that_is_not_finite_is_halved() -> None:
    def nll(params: Tensor) -> Tensor:  # undefined below 0
        return (params - params.log()).sum(-1)

    prior = ShrinkagePrior(LAYOUT, torch.full((3,), 8.0, dtype=torch.float64))
    result = run_lbfgs(nll, torch.full((7,), 1e-3, dtype=torch.float64), prior, Lbfgs(), 100)
    torch.testing.assert_close(1e-3 + result.displacement, torch.ones(1, 7, dtype=torch.float64), atol=1e-2, rtol=1e-2)


def test_the_minimum_of_a_network_is_that_of_scipy() -> None:
    learner = gradient_learner(make_learner("sigma-imaml", SETTINGS))
    found = learner.adapt([TASKS[0]], Budget(400))
    phi = learner.adapted.detach()

    def objective(delta: np.ndarray) -> float:
        params = phi + torch.from_numpy(delta)
        nll = learner.likelihood.nll(params[None], learner.shared.detach(), [TASKS[0].support])
        return float(nll[0].detach()) + float((torch.from_numpy(delta).square() / 0.2).sum()) / 2

    delta = learner.layout.flatten(found.displacements)[0].numpy()
    best = scipy.optimize.minimize(objective, delta, method="BFGS", options={"gtol": 1e-6})
    assert objective(delta) == pytest.approx(best.fun, abs=1e-5), "no better point is near"
    assert objective(delta) < objective(np.zeros_like(delta)) - 1


@pytest.mark.parametrize("name", IMPLICIT)
def test_gradients_of_the_meta_parameters_are_those_of_the_whole_solve(name: str) -> None:
    """Against finite differences of the query loss after adaptation, in φ and in log σ²."""
    learner = gradient_learner(make_learner(name, SETTINGS | {"tolerance": 1e-9}))
    learner.solver = Lbfgs(tolerance=1e-9)
    task = TASKS[1]
    gradient = learner.meta_gradient([task]).gradient

    def query_loss() -> float:
        adapted = learner.adapt([task], Budget(400))
        return float(learner.score(adapted.params, [task.query])[0])

    names = [n for n in ("log_variances",) if n in gradient] + ["adapted"] * (name != "sigma-reptile")
    assert names
    for parameter in names:
        values = learner.get_parameter(parameter)
        for index in range(min(4, len(values))):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    values[index] += sign * 1e-4
                    ends.append(query_loss())
                    values[index] -= sign * 1e-4
            assert float(gradient[parameter][index]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("name", IMPLICIT)
def test_implicit_learners_train_and_adapt_with_it(name: str) -> None:
    trainer = make_trainer(name, SETTINGS | {"inner_steps": 30, "outer_lr": 0.01, "cg_max_iters": 20})
    losses = [trainer.step(TASKS).loss_after for _ in range(8)]
    assert losses[-1] < losses[0]
    before = copy.deepcopy(trainer.learner.state_dict())
    adapted = trainer.learner.adapt(TASKS, Budget(30))
    assert all(torch.equal(before[key], value) for key, value in trainer.learner.state_dict().items())
    query = [task.query for task in TASKS]
    gained = trainer.learner.score(trainer.learner.start(3), query) - trainer.learner.score(adapted.params, query)
    assert float(gained.mean()) > 0


@pytest.mark.parametrize("name", [name for name in GRADIENT if name not in IMPLICIT])
def test_other_learners_refuse_it(name: str) -> None:
    with pytest.raises(
        UsageError, match=re.escape(f"learner '{name}' cannot use inner_solver: l-bfgs; set gd or adam")
    ):
        make_learner(name, {"inner_solver": "l-bfgs"})


def test_steps_are_observed_and_the_loop_ends_at_the_minimum() -> None:
    learner, seen = make_learner("sigma-imaml", SETTINGS), list[int]()
    adapted = learner.adapt([TASKS[0]], Budget(1000), lambda progress: seen.append(progress.step))
    count = adapted.steps[0]
    assert seen == list(range(count + 1)) and count < 1000 and len(adapted.losses) == count
    assert adapted.stopped == (f"the objective has reached its minimum after {count} steps",)
    few = learner.adapt([TASKS[0]], Budget(3), lambda progress: seen.append(progress.step))
    assert seen[count + 1 :] == [0, 1, 2, 3] and few.steps == (3,) and few.stopped == ("",)


def test_steps_do_not_depend_on_draws_of_the_support() -> None:
    """The same support, drawn in another way, gives the same parameters."""
    learner = make_learner("sigma-imaml", SETTINGS, regression_domain())
    plain, drawn = TASKS[0], copy.copy(TASKS[0])
    object.__setattr__(drawn, "draw", lambda step: (plain.support[0][:2], plain.support[1][:2]))
    first, second = (learner.adapt([task], Budget(20)).params for task in (plain, drawn))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_rule_stops_when_the_last_steps_reduce_little() -> None:
    rule, objectives = ReductionStop(), [100 * 0.5**step for step in range(40)]
    done = next(step for step, objective in enumerate(objectives) if rule.finished(step, objective))
    # The last four steps gave 15/16 of what was left before them: 100 * (1/2)**(n - 4) * 15/16 <= 5 for n = 9.
    assert done == 9
    assert rule.reason.startswith("steps 5 to 9 gave 2.9% of the reduction")


def test_the_rule_stops_on_an_objective_that_does_not_fall() -> None:
    rule = ReductionStop()
    assert [rule.finished(step, 7.0) for step in range(5)] == [False] * 4 + [True]
    assert rule.reason.startswith("steps 0 to 4 gave 0.0%")


def test_with_a_plateau_a_task_stops_earlier_than_at_its_minimum() -> None:
    learner = make_learner("sigma-imaml", SETTINGS)
    plateau, minimum = learner.adapt(TASKS, Budget.plateau()), learner.adapt(TASKS, Budget(1000))
    assert all(early < late for early, late in zip(plateau.steps, minimum.steps, strict=True))
    assert all("of the reduction of the objective" in reason for reason in plateau.stopped)
