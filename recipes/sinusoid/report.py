"""Tables and the picture."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from recipes.bench import markdown, spread
from recipes.sinusoid.experiment import BASELINE, LONG, Change, Experiment, Result, best_step, judge
from tts_meta.meta import LEARNERS

SHRINKAGE = {name: f"C{index}" for index, name in enumerate(n for n, p in LEARNERS.items() if p.prior == "shrinkage")}
"""Colours of the learners of this project."""

PANELS = ("all adapts, one step size", "all adapts, learned step sizes", "a part adapts")
"""What the others are drawn by."""


def number(value: float) -> str:
    """Three digits behind the point, or few digits where there are many before it."""
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.1e}"


def interval(errors: Tensor) -> str:
    """Mean and 68 % interval over the tasks that are finite, and how many are not."""
    finite = errors[errors.isfinite()].double()
    lost = len(errors) - len(finite)
    if not len(finite):
        return "none finite"
    mean, low, high = map(number, spread(finite))
    return f"{mean} [{low}, {high}]" + (f" ({lost} diverged)" if lost else "")


def difference(change: Change | None) -> str:
    """A change and its verdict."""
    if change is None:
        return "–"
    low, high = number(change.low), number(change.high)
    return f"{change.verdict}: {'+' if change.mean > 0 else ''}{number(change.mean)} [{low}, {high}]"


def tables(experiment: Experiment, results: Mapping[str, Result]) -> str:
    """Verdicts, errors by steps, σ by module, and time."""
    most = max(experiment.steps())
    baseline = results[BASELINE].errors if BASELINE in results else None
    verdicts, curves, sigmas, times = [], [], [], []
    for name, result in results.items():
        errors, budget = result.errors, experiment.learners[name].settings.inner_steps
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
    family, counted = experiment.family, f"{experiment.test_tasks:,} unseen tasks"
    head = ["", "own budget", "0 steps", "own budget", f"{BASELINE} at that budget", "best", f"{LONG:,} steps"]
    head += [f"{most:,} steps", f"{LONG:,} to {most:,}", "beats start and fine-tuning", "holds"]
    parts = [
        f"Mean squared error on {family.query} query points, {family.noise**2:.2f} of it noise; mean and 68 % interval "
        f"over {counted}:\n",
        markdown(head, verdicts),
        "The same by inner steps:\n",
        markdown(["", *(f"{step:,}" for step in experiment.steps())], curves),
    ]
    if sigmas:
        modules = next(result.deviations for result in results.values() if len(result.deviations) > 1)
        parts += ["σ of each module:\n", markdown(["", *modules], sigmas)]
    parts += ["Seconds of one core:\n", markdown(["", "meta-steps", "meta-training", "test"], times)]
    return "\n".join(parts)


def group_of(name: str) -> str:
    """The panel of a learner that is not in all of them."""
    preset = LEARNERS[name]
    if preset.adapts != "all":
        return PANELS[2]
    return PANELS[0] if preset.step_sizes == "fixed" else PANELS[1]


def draw(experiment: Experiment, results: Mapping[str, Result]) -> Figure:
    """Error by steps with 68 % bands; shrinkage learners and the baseline in every panel, others by what they are."""
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
        axis.set(title=panel, xlabel="inner steps (dot: own budget)", yscale="log", ylim=(0.07, 6))
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(0, 1.2 * max(experiment.steps()))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="lower left")
    axes[0].set_ylabel("mean squared error (dotted: noise)")
    figure.tight_layout()
    return figure


def _curve(axis: Axes, experiment: Experiment, name: str, result: Result, **style: object) -> None:
    """Means and bands over finite tasks, up to where tasks diverge."""
    points = {step: spread(row.double()) for step, row in result.errors.items() if row.isfinite().all()}
    steps = list(points)
    mean, low, high = zip(*points.values(), strict=True)
    axis.fill_between(steps, low, high, color=str(style["color"]), alpha=0.2, linewidth=0)
    axis.plot(steps, mean, label=name, **style)  # pyright: ignore[reportArgumentType]
    budget = experiment.learners[name].settings.inner_steps
    if budget in points:
        axis.plot([budget], [points[budget][0]], "o", color=str(style["color"]), markersize=5)
