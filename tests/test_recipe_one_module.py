"""The recipe one_module: only one module differs between tasks, the scores are right, and a tiny run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.func import functional_call
from toy_domains import GRADIENT

from recipes.one_module.experiment import TRUTH, Experiment, Job, RunResult, displacement, run, true_learner
from recipes.one_module.report import draw, is_right, report, sigma_ratio
from recipes.one_module.tasks import OneModule
from recipes.toy_benchmark import TEST_SEED, build_learner
from tts_meta.config import load_config
from tts_meta.meta import AdaptProgress, Budget
from tts_meta.models.partition import Partition

YAML = Path(__file__).resolve().parents[1] / "recipes" / "one_module" / "one_module.yaml"
RECIPE = load_config(YAML, Experiment)
FAMILIES = pytest.mark.parametrize("family", RECIPE.families.values(), ids=list(RECIPE.families))


def test_every_learner_runs_on_both_families() -> None:
    assert set(RECIPE.learners) == set(GRADIENT)
    assert {family.varies for family in RECIPE.families.values()} == {"head", "gain"}


@FAMILIES
def test_only_the_varying_module_differs_between_tasks(family: OneModule) -> None:
    count = 4_000
    params = family.parameters(count, torch.Generator().manual_seed(0))
    for name, value in family.true_model().named_parameters():
        off = params[name] - value
        if name.split(".")[0] != family.varies:
            assert not off.any()
            continue
        torch.testing.assert_close(off.std(0), torch.full_like(value, family.deviation), atol=0.03, rtol=0)
        torch.testing.assert_close(off.mean(0), torch.zeros_like(value), atol=0.03, rtol=0)


@FAMILIES
def test_targets_are_the_output_of_the_tasks_network_plus_noise(family: OneModule) -> None:
    count, generator = 500, torch.Generator().manual_seed(9)
    torch.rand(count, 2 * family.points, family.inputs, generator=generator)
    params, net = family.parameters(count, generator), family.true_model()
    residuals = []
    for number, task in enumerate(family.tasks(count, 9)):
        for x, y in (task.support, task.query):
            residuals.append(
                y - functional_call(net, {name: value[number] for name, value in params.items()}, (x,)).detach()
            )
    noise = torch.stack(residuals)
    assert noise.std().item() == pytest.approx(family.noise, rel=0.02)
    assert abs(noise.mean().item()) < 0.01


@FAMILIES
def test_the_module_that_varies_is_one_of_the_partition_and_the_start_is_not_the_truth(family: OneModule) -> None:
    assert Partition.by_layer(family.model(0)).names == ("gain", "first", "second", "head")
    start, truth = family.model(0), family.true_model()
    assert not torch.allclose(start.get_parameter("first.weight"), truth.get_parameter("first.weight"), atol=0.1)


def test_only_the_next_layer_expresses_a_gain_exactly_and_the_others_nearly() -> None:
    """To first order, at the true network; this makes the family hard. `second` needs a full matrix for it."""
    net = RECIPE.families["gain varies"].true_model().double()
    x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0)).double() * 4 - 2
    named = {name: value.detach() for name, value in net.named_parameters()}

    def jacobian(module: str) -> torch.Tensor:
        part = {name: value for name, value in named.items() if name.split(".")[0] == module}
        actual = torch.func.jacrev(lambda p: functional_call(net, named | p, (x,)).flatten())(part)
        return torch.cat([value.flatten(1) for value in actual.values()], -1)

    def unexplained(module: str) -> float:
        """The fraction of the effect of a change of the gain that the module cannot reproduce."""
        gain, basis = jacobian("gain"), torch.linalg.qr(jacobian(module))[0]
        return ((gain - basis @ (basis.T @ gain)).norm() / gain.norm()).item()

    assert unexplained("second") < 1e-6
    assert 0.01 < unexplained("first") < 0.5 and 0.01 < unexplained("head") < 0.5


def test_displacement_is_the_mean_square_displacement_of_a_parameter() -> None:
    family = RECIPE.families["head varies"]
    learner = build_learner(family, "anil", RECIPE.learners["anil"].model_copy(update={"pretrain_steps": 0}), 0)
    tasks = family.tasks(3, TEST_SEED)
    moved = displacement(learner, ["gain", "first", "second", "head"], tasks, 4)
    assert not moved[:, :3].any()
    start = learner.model_parameters()
    for row, task in zip(moved, tasks, strict=True):
        actual = learner.adapt([task], Budget(4)).task(0)
        off = torch.cat([(actual[name] - start[name]).flatten() for name in actual])
        torch.testing.assert_close(row[3], off.square().mean())


@FAMILIES
def test_the_loss_of_the_true_network_is_near_the_noise(family: OneModule) -> None:
    tasks = family.tasks(200, TEST_SEED)
    learner, actual = true_learner(family), dict[int, torch.Tensor]()

    def observe(progress: AdaptProgress) -> None:
        actual[progress.step] = learner.score(progress.params, [task.query for task in tasks])

    learner.adapt(tasks, Budget(100), observe)
    floor = family.points * family.outputs / 2
    assert floor * 0.9 < actual[100].mean().item() < 0.6 * actual[0].mean().item()


def test_a_learner_is_right_with_half_of_the_movement_and_the_largest_sigma() -> None:
    moved = torch.tensor([[0.1, 0.0, 0.2, 0.7], [0.1, 0.1, 0.2, 0.6]])
    actual = RunResult(("gain", "first", "second", "head"), {}, moved, (0,), torch.zeros(1, 2))
    torch.testing.assert_close(actual.shares(), moved)
    assert is_right(actual, "head") and not is_right(actual, "gain") and sigma_ratio(actual, "head") == "-"
    learned = replace(actual, deviations={"gain": 0.1, "first": 0.1, "second": 0.1, "head": 0.2})
    assert is_right(learned, "head") and sigma_ratio(learned, "head") == "2.0"
    assert not is_right(replace(learned, deviations=learned.deviations | {"gain": 0.4}), "head")
    assert not is_right(replace(actual, moved=torch.tensor([[0.3, 0.0, 0.3, 0.4]])), "head")
    assert not replace(actual, moved=torch.zeros(2, 4)).shares().any()


def test_a_tiny_run_of_the_recipe_reports_every_learner() -> None:
    plans = {
        name: plan.model_copy(update={"pretrain_steps": 2, "meta_steps": 2, "tasks": 4})
        for name, plan in RECIPE.learners.items()
    }
    changes = {"learners": plans, "test_tasks": 4, "test_steps": (0, 8)}
    experiment = RECIPE.model_copy(update=changes)
    results = {
        where: {
            name: run(Job(where, family, name, plan, 0, experiment.test_tasks, experiment.test_steps))
            for name, plan in [*plans.items(), (TRUTH, None)]
        }
        for where, family in experiment.families.items()
    }
    text = report(experiment, results)
    assert all(text.count(f"| {name} |") == 4 for name in plans) and "not finite" not in text
    for name, alone in (("anil", "head"), ("cavia", "gain"), ("finetune-embedding", "gain")):
        for actual in results.values():
            torch.testing.assert_close(actual[name].shares()[:, actual[name].modules.index(alone)], torch.ones(4))
    assert len(draw(experiment, results).axes) == 2


def test_shrinkage_finds_the_varying_module() -> None:
    plan = RECIPE.learners["sigma-imaml"].model_copy(update={"meta_steps": 30})
    actual = run(Job("", RECIPE.families["gain varies"], "sigma-imaml", plan, 0, 4, (0,)))
    assert is_right(actual, "gain") and float(sigma_ratio(actual, "gain")) > 2
