"""Tables and the figure of the recipe one_module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from recipes.one_module.experiment import TRUTH, Experiment, RunResult
from recipes.recipe_io import markdown_table
from recipes.toy_benchmark import mean_interval, settings_of

Results = Mapping[str, Mapping[str, RunResult]]
"""By family, then by learner."""


def share_of(result: RunResult, module: str) -> Tensor:
    """The module's share of the movement in each task, `(T,)`."""
    return result.shares()[:, result.modules.index(module)]


def is_right(result: RunResult, module: str) -> bool:
    """Whether the module that varies makes at least half of the movement and, if σ is learned, has the largest σ."""
    largest = max(result.deviations, key=result.deviations.__getitem__) if result.deviations else module
    return largest == module and float(share_of(result, module).mean()) >= 0.5


def sigma_ratio(result: RunResult, module: str) -> str:
    """σ of the module divided by the largest σ of the others."""
    if not result.deviations:
        return "-"
    return f"{result.deviations[module] / max(v for name, v in result.deviations.items() if name != module):.1f}"


def interval(values: Tensor, digits: int) -> str:
    """Mean and 68 % interval over tasks, or `not finite`."""
    if not values.isfinite().all():
        return "not finite"
    return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*mean_interval(values), d=digits)


def family_table(module: str, results: Mapping[str, RunResult]) -> str:
    """Movement and σ of each module, by learner. module: the one that varies."""
    names = next(iter(results.values())).modules
    rows = []
    for learner, result in results.items():
        shares = [
            interval(share_of(result, name), 2) if name == module else f"{share_of(result, name).mean():.2f}"
            for name in names
        ]
        sigmas = [f"{result.deviations[name]:.3f}" if result.deviations else "-" for name in names]
        right = "yes" if is_right(result, module) else "no"
        rows.append([learner, *shares, *sigmas, sigma_ratio(result, module), right])
    head = ["", *(f"{name} moves" for name in names), *(f"σ {name}" for name in names), "σ ratio", "right"]
    return markdown_table(head, rows)


def loss_table(experiment: Experiment, results: Results) -> str:
    """Query losses of unseen tasks."""
    learners, last = [*experiment.learners, TRUTH], max(experiment.test_steps)
    head = [""]
    for family in results:
        head += [f"{family}: before", "own steps", f"{last:,} steps"]
    rows = []
    for learner in learners:
        row = [learner]
        for by_learner in results.values():
            result = by_learner[learner]
            plan = experiment.learners.get(learner)
            own_steps = last if plan is None else settings_of(learner, plan).inner_steps
            row += [interval(result.losses[result.steps.index(step)], 2) for step in (0, own_steps, last)]
        rows.append(row)
    return markdown_table(head, rows)


def verdict_table(experiment: Experiment, results: Results) -> str:
    """In which families each learner finds the module that varies."""
    rows = []
    for learner in experiment.learners:
        right = [is_right(results[name][learner], family.varies) for name, family in experiment.families.items()]
        rows.append([learner, *("yes" if value else "no" for value in (*right, all(right)))])
    return markdown_table(["right if", *experiment.families, "all"], rows)


def report(experiment: Experiment, results: Results) -> str:
    """The tables."""
    parts = []
    for name, family in experiment.families.items():
        parts += [
            f"{name}, normal with standard deviation {family.deviation:g}:\n",
            family_table(family.varies, results[name]),
        ]
    parts += [f"Query loss, nats, {experiment.test_tasks:,} unseen tasks:\n", loss_table(experiment, results)]
    return "\n".join([*parts, verdict_table(experiment, results)])


def draw(experiment: Experiment, results: Results) -> Figure:
    """Each module's share of the movement, one bar per learner."""
    figure = Figure(figsize=(5 * len(results), 0.28 * len(experiment.learners) + 1.6))
    axes = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for axis, (family, by_learner) in zip(axes, results.items(), strict=True):
        learners, varying = list(experiment.learners), experiment.families[family].varies
        left = torch.zeros(len(learners))
        for index, name in enumerate(next(iter(by_learner.values())).modules):
            widths = torch.stack([share_of(by_learner[learner], name).mean() for learner in learners])
            axis.barh(
                learners,
                widths.numpy(),
                left=left.numpy(),
                color=f"C{index}",
                alpha=1.0 if name == varying else 0.35,
                label=name,
            )
            left = left + widths
        axis.set(title=f"{family} (solid)", xlabel="share of the mean square displacement", xlim=(0, 1))
    axes[0].invert_yaxis()
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
