"""Implicit gradients with Gauss-Newton products, and the learners and recipes that ask for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from faults import error_line
from torch import Tensor, nn
from toy_domains import (
    gradient_learner,
    likelihood_of,
    make_trainer,
    own_settings,
    regression_domain,
    regression_task,
)
from toy_gradients import EXACT, maximum_a_posteriori, meta_of

from tts_meta.errors import UsageError
from tts_meta.meta import LEARNERS, Implicit, Likelihood, MetaParams, Outputs, ShrinkageReptile, Task, create_learner
from tts_meta.meta.solvers.gauss_newton import HessianKind

gauss_newton = pytest.mark.parametrize("hessian", ["gauss-newton", "gauss-newton-exact"])
implicit = pytest.mark.parametrize("name", ["imaml", "sigma-imaml", "sigma-reptile"])


class Logits(nn.Module):
    """Logits that are linear in the weights `slope (2,)` and `square (2,)`, and in the shared `offset (1,)`."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.slope, self.square, self.offset = (
            nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64)) for size in (2, 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.slope + x.square() @ self.square + self.offset


def logistic_loss(call, data: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(call(data[0]), data[1], reduction="sum")


def logistic_outputs(call, data: tuple[Tensor, Tensor]) -> Outputs:
    """The Hessian of this loss in the logits does not depend on the labels, so it is the Fisher information."""
    logits = call(data[0])
    probability = torch.sigmoid(logits)
    return Outputs(logits, probability * (1 - probability))


def logistic_task(seed: int) -> Task:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    y = (x[:, 0] + 0.5 * torch.randn(30, generator=generator, dtype=torch.float64) > 0).double()
    return Task((x[:20], y[:20]), (x[20:], y[20:]))


def query_loss(likelihood: Likelihood, meta: MetaParams, tasks: list[Task]) -> float:
    delta = maximum_a_posteriori(likelihood, meta, tasks)
    return float(likelihood.nll(meta.adapted + delta, meta.shared, [task.query for task in tasks]).sum())


@gauss_newton
@pytest.mark.parametrize("centred", [False, True])
def test_gradients_of_a_smooth_likelihood_equal_finite_differences_of_the_whole_solve(
    hessian: HessianKind, centred: bool
) -> None:
    """The logits are linear in the parameters, so the Gauss-Newton matrix is the Hessian: four digits agree."""
    likelihood = likelihood_of(Logits(), logistic_loss, ("slope", "square"), outputs=logistic_outputs)
    tasks = [logistic_task(seed) for seed in range(2)]
    meta = meta_of(likelihood, torch.tensor([-1.0, -0.3]))
    delta = maximum_a_posteriori(likelihood, meta, tasks)
    actual = Implicit(EXACT, centred, hessian).at(likelihood, meta, tasks, delta)
    assert actual.statistics["residual"].max() < 1e-8 and actual.statistics["stationarity"].max() < 1e-9
    for name, size in (("log_variances", 2), ("adapted", 4), ("shared", 1)):
        for index in range(size):
            direction, step = torch.eye(size, dtype=torch.float64)[index], 1e-4
            ends = [
                query_loss(likelihood, replace(meta, **{name: getattr(meta, name) + sign * step * direction}), tasks)
                for sign in (1, -1)
            ]
            expected = (ends[0] - ends[1]) / (2 * step)
            assert float(actual.gradient[name][index]) == pytest.approx(expected, rel=1e-4, abs=1e-7)


@gauss_newton
@implicit
def test_the_setting_hessian_chooses_the_products_of_the_learner(name: str, hessian: HessianKind) -> None:
    """A network's Gauss-Newton matrix differs from its Hessian, and so does the gradient."""
    tasks = [regression_task(seed) for seed in range(2)]
    gradients = {}
    for kind in ("exact", hessian):
        settings = {"hessian": kind, "inner_steps": 20, "inner_lr": 0.004, "variance": 0.1}
        learner = gradient_learner(make_trainer(name, settings))
        estimator = learner.estimator()
        if isinstance(estimator, ShrinkageReptile):
            estimator = estimator.implicit
        assert isinstance(estimator, Implicit) and estimator.hessian == kind
        step = learner.meta_gradient(tasks)
        gradients[kind] = torch.cat([value.flatten() for value in step.gradient.values()])
        assert bool(gradients[kind].isfinite().all())
    difference = (gradients["exact"] - gradients[hessian]).norm() / gradients["exact"].norm()
    assert 1e-4 < float(difference) < 1


@gauss_newton
@pytest.mark.parametrize("vectorised", [False, True])
def test_tasks_side_by_side_give_the_sum_of_their_gradients(hessian: HessianKind, vectorised: bool) -> None:
    tasks = [regression_task(seed) for seed in range(3)]
    settings = {"hessian": hessian, "inner_steps": 20, "inner_lr": 0.004, "variance": 0.1, "tolerance": 1e-8}
    domain = regression_domain(vectorised=vectorised)
    learner = create_learner("sigma-imaml", domain, settings)
    together = learner.meta_gradient(tasks).gradient
    alone = [learner.meta_gradient([task]).gradient for task in tasks]
    for name, value in together.items():
        expected = torch.stack([gradient[name] for gradient in alone]).sum(0)
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)


@gauss_newton
@implicit
def test_a_domain_without_outputs_is_refused_in_one_line(name: str, hessian: HessianKind) -> None:
    domain = replace(regression_domain(), outputs=None)
    settings = own_settings(LEARNERS[name].Settings, {"hessian": hessian})
    assert error_line(lambda: create_learner(name, domain, settings), UsageError) == (
        f"learner '{name}' needs the outputs of the model with the curvature of the likelihood (outputs); "
        "this domain does not have it; set hessian to 'difference'"
    )
    create_learner(name, domain, settings | {"hessian": "difference"})


def test_a_nonlinear_system_that_conjugate_gradient_leaves_has_no_negative_curvature() -> None:
    """Far from the targets the Hessian is indefinite; with a wide prior only Gauss-Newton products can be solved."""
    domain = regression_domain()
    learner = gradient_learner(create_learner("sigma-imaml", domain, {"variance": 10.0}))
    tasks = [regression_task(seed) for seed in range(4)]
    meta = MetaParams(learner.adapted, learner.shared, learner.log_variances, learner.step_sizes)
    delta = torch.randn(4, learner.layout.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    counts = {
        hessian: Implicit(EXACT, False, hessian).at(learner.likelihood, meta, tasks, delta).counts
        for hessian in ("exact", "gauss-newton-exact")
    }
    assert counts["exact"]["linear_solver/negative_curvature"] > 0
    assert counts["gauss-newton-exact"]["linear_solver/negative_curvature"] == 0
