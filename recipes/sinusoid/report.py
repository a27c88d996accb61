"""Tables and the figure of the recipe sinusoid."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from recipes.recipe_io import markdown_table
from recipes.sinusoid.experiment import BASELINE, LONG, Change, Experiment, Result, best_step, judge
from recipes.toy_benchmark import mean_interval
from tts_meta.meta import LEARNERS, GradientLearner

GRADIENT = {name: learner for name, learner in LEARNERS.items() if issubclass(learner, GradientLearner)}
"""The learners that adapt by gradient steps."""

SHRINKAGE = {
    name: f"C{index}"
    for index, name in enumerate(name for name, learner in GRADIENT.items() if learner.prior_kind == "shrinkage")
}
"""Colour of each shrinkage learner."""

PANELS = ("all modules, one step size", "all modules, learned step sizes", "some modules")
"""Panels of the figure; each shows a group of the other learners."""


def number(value: float) -> str:
    """Three decimals; scientific notation for large numbers."""
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.1e}"


def interval(errors: Tensor) -> str:
    """Mean and 68 % interval over the finite tasks, and the number of tasks that diverged."""
    finite = errors[errors.isfinite()].double()
    diverged = len(errors) - len(finite)
    if not len(finite):
        return "none finite"
    mean, low, high = map(number, mean_interval(finite))
    return f"{mean} [{low}, {high}]" + (f" ({diverged} diverged)" if diverged else "")


def difference(change: Change | None) -> str:
    """A change and its verdict."""
    if change is None:
        return "–"
    low, high = number(change.low), number(change.high)
    return f"{change.verdict}: {'+' if change.mean > 0 else ''}{number(change.mean)} [{low}, {high}]"


def tables(experiment: Experiment, results: Mapping[str, Result]) -> str:
    """Verdicts, errors by number of steps, σ by module, and time."""
    most = max(experiment.steps())
    baseline = results[BASELINE].errors if BASELINE in results else None
    verdicts, curves, sigmas, times = [], [], [], []
    for name, result in results.items():
        errors, budget = result.errors, experiment.budget(name)
        verdict = judge(name, budget, errors, baseline)
        best = best_step(errors)
        verdicts.append(
            [
                name,
                f"{budget:,}",
                *(interval(errors[step]) for step in (0, budget)),
                interval(baseline[budget]) if baseline is not None and name != BASELINE else "–",
                f"{best:,}: {interval(errors[best])}",
                *(interval(errors[step]) for step in (LONG, most)),
                difference(verdict.lasts),
                "yes" if verdict.beats else "no",
                "yes" if verdict.holds else "no",
            ]
        )
        curves.append([name, *(number(errors[step][errors[step].isfinite()].mean().item()) for step in errors)])
        if result.deviations:
            sigmas.append([name, *(f"{value:.3g}" for value in result.deviations.values())])
        times.append([name, f"{experiment.learners[name].meta_steps:,}", *(f"{value:.0f}" for value in result.seconds)])
    times.append(["all", "", *(f"{sum(r.seconds[part] for r in results.values()):.0f}" for part in (0, 1))])
    family, test = experiment.family, f"{experiment.test_tasks:,} unseen tasks"
    head = ["", "budget (steps)", "0 steps", "at budget", f"{BASELINE} at budget", "best", f"{LONG:,} steps"]
    head += [f"{most:,} steps", f"{LONG:,} to {most:,}", "beats start and fine-tuning", "holds"]
    parts = [
        f"Mean squared error on {family.query} query points, of which {family.noise**2:.2f} is noise; mean and 68 % "
        f"interval over {test}:\n",
        markdown_table(head, verdicts),
        "Mean squared error by number of inner steps:\n",
        markdown_table(["", *(f"{step:,}" for step in experiment.steps())], curves),
    ]
    if sigmas:
        modules = next(result.deviations for result in results.values() if len(result.deviations) > 1)
        parts += ["σ of each module:\n", markdown_table(["", *modules], sigmas)]
    parts += ["Seconds of one core:\n", markdown_table(["", "meta-steps", "meta-training", "test"], times)]
    return "\n".join(parts)


def group_of(name: str) -> str:
    """The panel of a learner that is not in all panels."""
    learner = GRADIENT[name]
    if learner.adapts != "all":
        return PANELS[2]
    return PANELS[0] if learner.step_size_kind == "fixed" else PANELS[1]


def draw(experiment: Experiment, results: Mapping[str, Result]) -> Figure:
    """Error by number of steps with 68 % bands. Shrinkage learners and the baseline are in every panel."""
    others = [name for name in results if name not in SHRINKAGE]
    panels = [panel for panel in PANELS if any(group_of(name) == panel for name in others)] or [""]
    figure = Figure(figsize=(4.6 * len(panels), 4.4))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        shown = [name for name in others if group_of(name) == panel and name != BASELINE]
        for index, name in enumerate(shown):
            style = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))[index % 4]
            _curve(axis, experiment, name, results[name], color=f"C{3 + index}", linestyle=style, linewidth=1.2)
        if BASELINE in results:
            _curve(axis, experiment, BASELINE, results[BASELINE], color="0.3", linewidth=1.2)
        for name, colour in SHRINKAGE.items():
            if name in results:
                _curve(axis, experiment, name, results[name], color=colour, linewidth=2.2)
        axis.axhline(experiment.family.noise**2, color="0.6", linewidth=0.8, linestyle=":")
        axis.set(title=panel, xlabel="inner steps (dot: budget)", yscale="log", ylim=(0.07, 6))
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(0, 1.2 * max(experiment.steps()))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="lower left")
    axes[0].set_ylabel("mean squared error (dotted: noise)")
    figure.tight_layout()
    return figure


def _curve(axis: Axes, experiment: Experiment, name: str, result: Result, **style: object) -> None:
    """Draw means and bands at the numbers of steps at which no task has diverged."""
    points = {step: mean_interval(row.double()) for step, row in result.errors.items() if row.isfinite().all()}
    steps = list(points)
    mean, low, high = zip(*points.values(), strict=True)
    axis.fill_between(steps, low, high, color=str(style["color"]), alpha=0.2, linewidth=0)
    axis.plot(steps, mean, label=name, **style)  # pyright: ignore[reportArgumentType]
    budget = experiment.budget(name)
    if budget in points:
        axis.plot([budget], [points[budget][0]], "o", color=str(style["color"]), markersize=5)
