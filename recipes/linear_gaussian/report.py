"""Tables, verdicts and the figure of the recipe linear_gaussian."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from recipes.linear_gaussian.experiment import Experiment, RunResult
from recipes.linear_gaussian.oracle import centre_lower_bound
from recipes.recipe_io import markdown_table
from recipes.toy_benchmark import mean_interval, settings_of

SHRUNK, CLOSE, RECOVERED = 0.1, 0.15, 0.05
"""Thresholds: σ of a constant module / σ of a varying one; |σ - optimum| / optimum; ‖φ̂ - φ‖ / ‖φ‖."""


@dataclass(frozen=True)
class Verdict:
    """Whether a learner meets each threshold, by its mean over seeds."""

    shrunk: bool
    close: bool
    recovered: bool

    def cells(self) -> list[str]:
        return ["yes" if value else "no" for value in (self.shrunk, self.close, self.recovered)]


def judge(truth: Mapping[str, float], best: Mapping[str, float], learned: Mapping[str, float], error: float) -> Verdict:
    """Compare learned σ with the true and the optimal σ. A varying module with an infinite optimum is not compared.

    error: ‖φ̂ - φ‖ / ‖φ‖.
    """
    constant = [learned[name] for name, value in truth.items() if value == 0]
    varying = {name: learned[name] for name, value in truth.items() if value > 0}
    close = [abs(v - best[name]) <= CLOSE * best[name] for name, v in varying.items() if math.isfinite(best[name])]
    return Verdict(max(constant) < SHRUNK * min(varying.values()), all(close), error < RECOVERED)


def interval(values: Tensor) -> str:
    """Mean and 68 % interval over seeds."""
    mean, low, high = mean_interval(values)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3f}"


def report(
    experiment: Experiment,
    pretrained: Mapping[str, Sequence[RunResult]],
    unpretrained: Mapping[str, RunResult],
    best_map: Mapping[str, float],
    best: Mapping[str, Mapping[str, float]],
) -> str:
    """The tables.

    pretrained: runs of each learner by seed. unpretrained: one run of each learner. best_map: optimal σ of the MAP.
    best: optimal σ of each learner's inner loop.
    """
    truth, names = experiment.family.deviations, list(experiment.family.deviations)
    sigmas = [["true σ", *map(number, truth.values())], ["optimum for the MAP", *map(number, best_map.values())]]
    errors, verdicts = [], []
    for name, runs in pretrained.items():
        plan, single = experiment.learners[name], unpretrained[name]
        sigma, error = torch.stack([run.deviations[-1] for run in runs]), torch.stack([run.errors for run in runs])
        steps = settings_of(name, plan).inner_steps
        sigmas.append([f"optimum for {steps} steps of {name}", *map(number, best[name].values())])
        sigmas.append([name, *map(interval, sigma.unbind(1))])
        sigmas.append([f"{name}, not pretrained", *(f"{value:.3f}" for value in single.deviations[-1].tolist())])
        bound = centre_lower_bound(experiment.family, (plan.meta_steps + plan.pretrain_steps) * plan.tasks)
        errors.append([name, *map(interval, error.unbind(1)), f"{bound:.3f}"])
        errors.append([f"{name}, not pretrained", *(f"{value:.3f}" for value in single.errors), f"{bound:.3f}"])
        for label, learned, final_error in (
            (name, sigma.mean(0), float(error[:, 2].mean())),
            (f"{name}, not pretrained", single.deviations[-1], float(single.errors[2])),
        ):
            verdict = judge(truth, best[name], dict(zip(names, learned.tolist(), strict=True)), final_error)
            verdicts.append([label, *verdict.cells()])
    seeds = f"mean and 68 % interval over {experiment.seeds} seeds; without pretraining, one seed"
    tests = [
        f"constant σ < {SHRUNK:g} × every varying σ",
        f"varying σ within {CLOSE:.0%} of its optimum",
        f"φ within {RECOVERED:.0%}",
    ]
    return "\n".join(
        [
            f"σ of each module ({seeds}):\n",
            markdown_table(["", *names], sigmas),
            f"‖φ̂ - φ‖ / ‖φ‖ ({seeds}):\n",
            markdown_table(["", "untrained", "pretrained", "meta-trained", "lower bound"], errors),
            "Verdicts:\n",
            markdown_table(["", *tests], verdicts),
        ]
    )


def draw(
    experiment: Experiment, runs: Mapping[str, Sequence[RunResult]], best: Mapping[str, Mapping[str, float]]
) -> Figure:
    """σ of each module over meta-training, one panel per learner."""
    figure = Figure(figsize=(3.6 * len(runs), 3.6))
    axes = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for axis, (name, results) in zip(axes, runs.items(), strict=True):
        for index, (module, true) in enumerate(experiment.family.deviations.items()):
            colour = f"C{index}"
            for result in results:
                axis.plot(result.deviations[:, index].numpy(), color=colour, alpha=0.6, linewidth=0.8)
            axis.plot([], [], color=colour, label=f"{module}, true σ = {true:g}")
            for value, style in ((true, "--"), (best[name][module], ":")):
                if 1e-3 < value < math.inf:
                    axis.axhline(value, color=colour, linestyle=style, linewidth=1.2)
        axis.set(title=name, xlabel="meta-steps", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("σ (dashed: true; dotted: optimum for the solver)")
    axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
