"""The sinusoid recipe: its tasks, its verdicts, and the command on a tiny part of its test."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from toy_domains import GRADIENT

from recipes.sinusoid.__main__ import main
from recipes.sinusoid.experiment import Change, Experiment, judge
from recipes.sinusoid.family import Net, Sinusoids
from recipes.toy_benchmark import TEST_SEED
from tts_meta.config import load_config
from tts_meta.meta import Task

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "sinusoid" / "sinusoid.yaml"


def all_points(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y of support and query, in double precision."""
    pairs = zip(task.support, task.query, strict=True)
    x, y = (torch.cat(pair).squeeze(-1).double() for pair in pairs)
    return x, y


def fitted(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float, float]:
    """Amplitude and phase of the least-squares sinusoid a sin(x - b), and the root mean square of its residuals."""
    waves = torch.stack([x.sin(), -x.cos()], -1)
    p, q = torch.linalg.lstsq(waves, y[:, None]).solution.squeeze(-1)
    residual = (y - waves @ torch.stack([p, q])).square().sum() / (len(y) - 2)
    return float(torch.hypot(p, q)), float(torch.atan2(q, p)), float(residual.sqrt())


def test_a_task_is_one_sinusoid_with_the_noise_of_the_likelihood() -> None:
    family = Sinusoids(support=50, query=350)
    tasks = family.tasks(200, seed=3)
    actual = torch.tensor([fitted(*all_points(task)) for task in tasks])
    amplitudes, phases, residual = actual.unbind(-1)
    assert 0.0 < amplitudes.min() < 0.3 and 4.7 < amplitudes.max() < 5.1
    assert amplitudes.mean() == pytest.approx(2.55, abs=0.3)
    clear = amplitudes > 0.5  # noise hides the phase of a small sinusoid
    turned = torch.remainder(phases[clear] + 1, 2 * math.pi) - 1
    assert -0.1 < turned.min() < 0.2 and math.pi - 0.2 < turned.max() < math.pi + 0.1
    assert residual.mean() == pytest.approx(0.3, abs=0.01) and residual.min() > 0.25 and residual.max() < 0.35
    for part in ("support", "query"):
        inputs = torch.cat([getattr(task, part)[0] for task in tasks])
        assert -5 <= inputs.min() < -4.9 and 4.9 < inputs.max() <= 5


def test_the_same_seed_draws_the_same_tasks_and_another_seed_draws_different_tasks() -> None:
    family = Sinusoids()
    first, again, other = (family.tasks(3, seed) for seed in (7, 7, TEST_SEED))
    for one, two, three in zip(first, again, other, strict=True):
        assert one.support[0].shape == (5, 1) and one.query[1].shape == (10, 1)
        torch.testing.assert_close(all_points(one), all_points(two), atol=0, rtol=0)
        assert not torch.equal(all_points(one)[0], all_points(three)[0])
    assert not torch.equal(first[0].support[1], first[1].support[1])


def test_the_loss_is_the_gaussian_likelihood_and_determines_the_squared_error() -> None:
    family = Sinusoids(noise=0.5)
    x, y = family.tasks(1, 0)[0].query
    normal = torch.distributions.Normal(0.0, 0.5)
    nats = family.loss(torch.zeros_like, (x, y))
    torch.testing.assert_close(nats, (normal.log_prob(torch.zeros(())) - normal.log_prob(y)).sum())
    torch.testing.assert_close(family.squared_error(nats), y.square().mean())


def test_the_network_joins_its_context_with_the_input() -> None:
    net = Sinusoids().model(seed=1)
    assert isinstance(net, Net)
    x, context = torch.linspace(-5, 5, 7)[:, None], torch.tensor([0.3, -1.0, 0.5, 2.0])
    with torch.no_grad():
        net.context.copy_(context)
        seen = torch.cat([x, context.expand(7, 4)], -1)
        expected = net.head(torch.tanh(net.second(torch.tanh(net.first(seen)))))
        torch.testing.assert_close(net(x), expected)


def test_a_change_is_judged_task_by_task() -> None:
    before = torch.arange(50.0)
    noise = 0.1 * torch.tensor([1.0, -1.0]).repeat(25)
    assert Change.between(before, before - 0.1 + noise).verdict == "better"
    assert Change.between(before, before + noise).verdict == "same"
    assert Change.between(before, before + 0.1 + noise).verdict == "worse"
    gone = before - 1
    gone[3] = math.nan
    change = Change.between(before, gone)
    assert (change.mean, change.diverged, change.verdict) == (pytest.approx(-1), 1, "worse")


def test_a_learner_must_beat_its_start_and_the_baseline_at_its_budget() -> None:
    def rows(*means: float) -> dict[int, torch.Tensor]:
        return {step: mean + 0.01 * torch.arange(9.0) for step, mean in zip((0, 5, 100, 1000), means, strict=True)}

    baseline = rows(3, 2, 2, 2)
    good = judge("maml", 5, rows(3, 1, 1, 1), baseline)
    assert good.beats and good.holds
    assert not judge("maml", 5, rows(3, 2.5, 1, 1), baseline).beats
    assert not judge("maml", 5, rows(1, 1.5, 1, 1), baseline).beats
    assert not judge("maml", 5, rows(3, 1, 1, 1.5), baseline).holds
    assert judge("finetune-all", 5, baseline, baseline).beats


def test_the_recipe_names_every_learner() -> None:
    experiment = load_config(RECIPE, Experiment)
    assert set(experiment.learners) == set(GRADIENT)
    assert experiment.test_tasks == 1000 and max(experiment.steps()) >= 1000
    text = RECIPE.read_text(encoding="utf-8").splitlines()
    assert text[0] == "# python -m recipes.sinusoid" and 30 <= len(text) <= 60


def test_the_command_prints_tables_of_finite_numbers_and_draws_a_figure(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    names = ["sigma-maml", "cavia", "finetune-all"]
    changes = ["test_tasks=20", "test_steps=[0, 1, 110]"]
    for name in names:
        changes += [f"learners.{name}.{key}" for key in ("meta_steps=3", "tasks=4", "settings.inner_steps=3")]
    changes += [f"learners.{name}.settings.inner_steps=3" for name in GRADIENT if name not in names]
    main(["--learners", ",".join(names), "--output", str(tmp_path), *changes])
    assert [path.name for path in tmp_path.iterdir()] == ["sinusoid.png"]
    with Image.open(tmp_path / "sinusoid.png") as picture:
        assert picture.size[0] > 500
    lines = capfd.readouterr().out.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    curves = table[table.index(["", "0", "1", "3", "100", "110"]) + 2 :][: len(names)]
    assert [row[0] for row in curves] == names
    assert all(math.isfinite(float(cell)) and float(cell) > 0 for row in curves for cell in row[1:])
    sigmas = table[table.index(["", "context", "first", "second", "head"]) + 2]
    assert sigmas[0] == "sigma-maml" and all(0 < float(cell) < 10 for cell in sigmas[1:])
    verdicts = table[2 : 2 + len(names)]
    assert [row[-1] in ("yes", "no") and row[-2] in ("yes", "no") for row in verdicts] == [True] * 3
