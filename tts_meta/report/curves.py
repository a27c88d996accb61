"""Curves with their intervals as a picture, drawn by matplotlib (extra `eval`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from tts_meta.evaluate.confidence import Interval
from tts_meta.report.figures import Rgb

_GREYS, _DASHES = ("0.5", "0.2", "0.35", "0.2"), (":", "--", "-.", (0, (8, 4)))
"""Of level lines, in the order of their names."""


@dataclass(frozen=True)
class Panel:
    """One set of axes: named curves, each intervals over x."""

    title: str
    across: str
    up: str
    curves: Mapping[str, Sequence[tuple[float, Interval]]]
    levels: Mapping[str, float]
    """Level lines by name, such as the score of real recordings."""


def curves_picture(panels: Sequence[Panel], columns: int, logarithmic: bool = True) -> Rgb:
    """Draw panels in rows of `columns`, all with one legend; x is logarithmic above 1 and linear from 0 to 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows + 0.6), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    levels = list(dict.fromkeys(name for panel in panels for name in panel.levels))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, panel in zip(axes, panels, strict=False):
        for number, name in enumerate(names):
            points = panel.curves.get(name, ())
            if not points:
                continue
            x, colour = [x for x, _ in points], f"C{number % 10}"
            ax.plot(x, [one.mean for _, one in points], "o-", color=colour, markersize=3, label=name)
            ax.fill_between(x, [one.low for _, one in points], [one.high for _, one in points], color=colour, alpha=0.1)
        for name, level in panel.levels.items():
            number = levels.index(name)
            ax.axhline(level, color=_GREYS[number % len(_GREYS)], linestyle=_DASHES[number % len(_DASHES)], label=name)
        if logarithmic:
            places = places_apart(x for points in panel.curves.values() for x, _ in points)
            ax.set_xscale("symlog", linthresh=1)
            ax.set_xlim(left=min([0.0, *places]) - 0.3)
            ax.set_xticks(places, [f"{x:,g}" for x in places])
            ax.minorticks_off()
        ax.set(title=panel.title, xlabel=panel.across, ylabel=panel.up)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    canvas.draw()
    return cast(Rgb, np.asarray(canvas.buffer_rgba())[..., :3].copy())


def places_apart(values: Iterable[float]) -> list[float]:
    """Those of the values, in order, whose labels do not run into each other: each at least twice the one before."""
    places: list[float] = []
    for value in sorted(set(values)):
        if not places or value >= 2 * places[-1]:
            places.append(value)
    return places
