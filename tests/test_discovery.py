"""The programs of `recipes/discovery`: paths of σ, effects of modules, the objective along one σ, and the statement."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from meta_train_runs import meta_recipe

from recipes.discovery import objective
from recipes.discovery.convergence import LARGEST_MEDIAN, LARGEST_RATIO, Convergence, main
from recipes.discovery.effects import MATTERS, Effects, matters, measure, measure_all, spread_over_speakers
from recipes.discovery.episodes import Experiment, displacement, query_frames, query_nll
from recipes.discovery.paths_figure import draw_paths
from recipes.discovery.sigma_paths import LAST, SigmaRun, ratio, read_runs, write_runs
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import TrainerSettings
from tts_meta.meta.prior import hyperprior_nll
from tts_meta.train.meta_train import MetaTrainConfig, meta_train

STARTS = (0.003, 0.3)
SETTINGS = {"inner_solver": "l-bfgs", "inner_steps": 2, "warm_start": True, "variance_lr": 0.2, "cg_max_iters": 2}
SETTINGS |= {"hyperprior": "half-cauchy", "hyperprior_scale": 0.01, "hessian": "gauss-newton"}


def recipe(corpus: Path, output: Path, start: float) -> MetaTrainConfig:
    changes: dict[str, object] = {"learner": "sigma-imaml", "rank": 2, "episodes": 1, "meta_steps": 7}
    changes["settings"] = SETTINGS | {"variance": start**2}
    changes["trainer"] = {"outer_lr": 0.0, "outer_lr_final_fraction": 0.1}
    return meta_recipe(corpus, output, **changes)


@pytest.fixture(scope="module")
def folders(meta_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two short runs of meta-training that start from different σ."""
    folder = tmp_path_factory.mktemp("runs")
    for start in STARTS:
        meta_train(recipe(meta_corpus, folder / f"{start}", start))
    return [folder / f"{start}" for start in STARTS]


@pytest.fixture(scope="module")
def experiment(meta_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return Experiment.of(recipe(meta_corpus, tmp_path_factory.mktemp("unused"), 0.01))


def run_of(start: float, sigmas: dict[str, list[float]], **changes: object) -> SigmaRun:
    steps = [0, 100, 130]
    settings = TrainerSettings(outer_lr_final_fraction=0.1)
    run = SigmaRun(
        start, 0, steps, 150, 0.2, settings.outer_lr_final_fraction, "half-cauchy", 0.01, 0.999, 0.0, {}, sigmas
    )
    return replace(run, **changes)


def effects_of(start: float, shares: dict[str, float]) -> Effects:
    undone = {name: [90 + 10 * share] * 2 for name, share in shares.items()}
    return Effects(start, "", ["ann", "ben"], [100.0] * 2, [90.0] * 2, undone, [90.5] * 2, {})


def test_a_run_is_read_with_its_start_every_fifth_step_and_its_last(folders: list[Path]) -> None:
    run = SigmaRun.read(folders[0])
    assert run.steps == [0, 5, 7] and run.start == 0.003 and run.planned_steps == 7
    assert all(len(values) == 3 and values[0] == 0.003 for values in run.sigmas.values())
    assert run.statistics["stationarity"] is not None and run.statistics["residual"] is not None
    with pytest.raises(TtsMetaError, match="no such file; give folders of runs"):
        SigmaRun.read(folders[0] / "base")


def test_runs_are_written_and_read_again(folders: list[Path], tmp_path: Path) -> None:
    runs = [SigmaRun.read(folder) for folder in folders]
    write_runs(tmp_path / "sigmas.jsonl", runs)
    assert read_runs(tmp_path / "sigmas.jsonl") == runs


def test_a_module_without_data_falls_by_a_factor_that_does_not_depend_on_its_small_start() -> None:
    ends = [run_of(start, {"a": [start] * 3}).without_data()[-1] / start for start in (1e-4, 1e-3)]
    assert ends[0] < 0.15 and math.isclose(ends[0], ends[1], rel_tol=0.02)


def test_the_path_without_data_is_that_of_adam_on_the_hyperprior() -> None:
    run, x = run_of(0.3, {"a": [0.3] * 3}, final_fraction=1.0), math.log(0.09)
    first, second, path = 0.0, 0.0, [0.3]
    for step in range(1, 131):
        leaf = torch.tensor([x], dtype=torch.float64, requires_grad=True)
        gradient = float(torch.autograd.grad(hyperprior_nll(leaf, "half-cauchy", 0.01), leaf)[0])
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        x -= 0.2 * first / (1 - 0.9**step) / (math.sqrt(second / (1 - 0.999**step)) + 1e-8)
        path.append(math.exp(x / 2))
    np.testing.assert_allclose(run.without_data(), [path[0], path[100], path[130]], rtol=1e-9)


def test_the_drift_is_measured_over_at_least_the_last_steps() -> None:
    run = run_of(0.3, {"a": [0.3, 0.2, 0.1]})
    assert run.done - 100 == LAST and run.drift("a") == 0.5
    assert run_of(0.3, {"a": [0.3, 0.2, 0.1]}, steps=[0, 10, 20]).drift("a") == 0.1 / 0.3


@pytest.mark.parametrize(
    ("sigmas", "converged"),
    [
        ({"a": (0.01, 0.0199), "b": (0.02, 0.02), "c": (0.03, 0.03)}, True),
        ({"a": (0.01, 0.0201), "b": (0.03, 0.03), "c": (0.03, 0.03)}, False),  # a module that matters is apart
        ({"a": (0.03, 0.03), "b": (0.06, 0.06), "c": (0.01, 0.025)}, True),  # c does not matter
        ({"a": (0.01, 0.013), "b": (0.02, 0.026), "c": (0.03, 0.03)}, False),  # the median is above the criterion
    ],
)
def test_the_statement_follows_the_criteria(sigmas: dict[str, tuple[float, float]], converged: bool) -> None:
    runs = [
        run_of(start, {name: [start, values[i], values[i]] for name, values in sigmas.items()})
        for i, start in enumerate(STARTS)
    ]
    effects = [effects_of(start, {"a": 0.5, "b": 1.1 * MATTERS, "c": 0.9 * MATTERS}) for start in STARTS]
    result = Convergence(runs, effects)
    assert result.that_matter == ["a", "b"] and result.converged is converged
    assert ("**σ has converged.**" in result.statement()) is converged
    assert ("**σ has not converged.**" in result.statement()) is not converged
    largest = max(ratio(runs, name) for name in ("a", "b"))
    assert f"the largest is {largest:.1f} (criterion: at most {LARGEST_RATIO:g})" in result.statement()
    assert f"(criterion: at most {LARGEST_MEDIAN})" in result.statement()
    assert result.median_ratio_with_zeros <= result.median_ratio
    median = f"{np.median([ratio(runs, name) for name in 'ab']):.2f}"
    assert (
        f"| 0.003, 0.3 | 0, 0 | 1.00 | 1.00 | {median} | {sum(r > 2 for r in [largest])} of 2 |" in result.pair_table()
    )


def test_a_module_matters_if_it_matters_in_one_run() -> None:
    effects = [effects_of(0.003, {"a": 0.0}), effects_of(0.3, {"a": 0.02})]
    assert matters(effects, "a") and not matters(effects[:1], "a")


def test_undoing_every_change_gives_the_base_and_undoing_one_gives_its_effect(
    experiment: Experiment, folders: list[Path]
) -> None:
    tasks = experiment.tasks(["ann", "ben"])
    run = SigmaRun.read(folders[1])
    effects = measure(experiment, run, folders[1], tasks)
    learner = experiment.with_sigmas({name: run.final(name) for name in run.sigmas})
    assert effects.speakers == ["ann", "ben"] and list(effects.undone) == list(learner.layout.modules)
    delta = displacement(learner, tasks[0])
    assert math.isclose(effects.after[0], query_nll(learner, tasks[0], delta), abs_tol=1e-3)
    assert effects.before[0] > effects.after[0]
    first = learner.layout.sizes[0]
    delta[:first] = 0
    name = learner.layout.modules[0]
    assert math.isclose(effects.undone[name][0], query_nll(learner, tasks[0], delta), abs_tol=1e-3)
    frames = sum(int(batch.batch.mel_lengths.sum()) for batch in tasks[0].query)
    assert query_frames(tasks[0]) == frames > 0


def test_effects_in_the_file_are_measured_again_only_for_other_sigmas(
    experiment: Experiment, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, runs = experiment.tasks(["ann"]), {folders[0]: SigmaRun.read(folders[0])}
    first = measure_all(experiment, runs, tasks, tmp_path / "effects.jsonl")
    runs[folders[1]] = SigmaRun.read(folders[1])
    calls = list[float]()
    fake = effects_of(0.3, {"speaker.mean": 0.5})
    monkeypatch.setattr("recipes.discovery.effects.measure", lambda _, run, *rest: calls.append(run.start) or fake)
    second = measure_all(experiment, runs, tasks, tmp_path / "effects.jsonl")
    assert calls == [0.3] and second == {folders[0]: first[folders[0]], folders[1]: fake}
    measure_all(experiment, runs, experiment.tasks(["ben"]), tmp_path / "effects.jsonl")
    assert calls == [0.3, 0.003, 0.3]


def test_the_spread_over_speakers_is_an_interval_around_one(experiment: Experiment, folders: list[Path]) -> None:
    spread = spread_over_speakers(experiment.learner, folders[0])
    assert list(spread) == list(experiment.learner.layout.modules)
    assert all(low <= 1 <= high for low, high in spread.values())
    assert any(low < high for low, high in spread.values())


def test_a_learner_without_sigma_and_a_run_of_other_modules_are_refused(meta_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="learner 'reptile' does not learn σ"):
        Experiment.of(meta_recipe(meta_corpus, tmp_path, learner="reptile", settings={}))
    experiment = Experiment.of(recipe(meta_corpus, tmp_path, 0.01))
    with pytest.raises(TtsMetaError, match="the run has no σ of"):
        experiment.with_sigmas({"speaker.mean": 0.1})


def test_the_objective_along_a_module_is_that_of_its_voices_plus_the_hyperprior(
    experiment: Experiment, folders: list[Path]
) -> None:
    run, tasks = SigmaRun.read(folders[0]), experiment.tasks(["ann", "ben"])
    result = objective.profile(experiment, run, tasks, "speaker.mean", [0.1, 0.001])
    assert result.sigmas == [0.001, 0.1] and result.speakers == ["ann", "ben"]
    rise = math.log1p((0.1 / 0.01) ** 2) - math.log1p((0.001 / 0.01) ** 2)
    assert math.isclose(result.hyperprior[1] - result.hyperprior[0], rise, abs_tol=2e-3)
    learner = experiment.with_sigmas({name: run.final(name) for name in run.sigmas} | {"speaker.mean": 0.001})
    delta = displacement(learner, tasks[1])
    assert math.isclose(result.nll[0][1], query_nll(learner, tasks[1], delta) * query_frames(tasks[1]), abs_tol=0.02)
    expected = np.mean(np.subtract(result.nll[1], result.nll[0])) + result.hyperprior[1] - result.hyperprior[0]
    assert math.isclose(result.difference(1).mean, expected, abs_tol=1e-6)


def test_the_figure_has_a_panel_for_each_module_that_matters_and_one_for_the_others() -> None:
    runs = [run_of(start, {name: [start] * 3 for name in "abcdefg"}) for start in STARTS]
    figure = draw_paths(runs, list("abcdefg"), {"a", "c"})
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == ["a", "c", "5 modules that do not matter"]
    assert [len(axes.lines) for axes in figure.axes if axes.axison] == [4, 4, 12]


def test_data_of_different_runs_are_refused(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "effects.jsonl").write_text("")
    with pytest.raises(TtsMetaError, match="of other runs than"):
        main([*map(str, folders), "--output", str(tmp_path)])
