"""Draws the path of σ of each module from all starts, one panel per module."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from recipes.discovery.sigma_paths import SigmaRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 7
COLOURS = ("#0072b2", "#009e73", "#d55e00")
"""Colours of the starts, from Okabe and Ito's palette."""


def draw_paths(runs: Sequence[SigmaRun], modules: Sequence[str], that_matter: Collection[str]) -> Figure:
    """Draw a panel for each module that matters, and one panel for all others together.

    A dashed line is the path without data, on which only the hyperprior changes σ.
    """
    from matplotlib.figure import Figure

    names = [name for name in modules if name in that_matter]
    rows = -(-(len(names) + 1) // COLUMNS)
    figure = Figure(figsize=(1.9 * COLUMNS, 1.8 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    free = [run.without_data() for run in runs]
    for axes, name in zip(panels, names, strict=False):
        for run, path, colour in zip(runs, free, COLOURS, strict=False):
            axes.plot(run.steps, path, "--", color=colour, linewidth=0.7, alpha=0.6)
            axes.plot(run.steps, run.sigmas[name], color=colour, linewidth=1.4, label=f"start {run.start:g}")
        axes.set_title(name, fontsize=7)
    others, last = [name for name in modules if name not in that_matter], panels[len(names)]
    for run, path, colour in zip(runs, free, COLOURS, strict=False):
        for name in others:
            last.plot(run.steps, run.sigmas[name], color=colour, linewidth=0.4)
        last.plot(run.steps, path, "--", color="black", linewidth=0.9)
    last.set_title(f"{len(others)} modules that do not matter", fontsize=7)
    for number, axes in enumerate(panels):
        axes.set_yscale("log")
        axes.tick_params(labelsize=7)
        axes.grid(color="0.9", linewidth=0.5)
        axes.set_axis_on() if number <= len(names) else axes.set_axis_off()
    figure.supxlabel("meta-step", fontsize=8)
    figure.supylabel("σ", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend([*handles], [*labels], loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure
