"""Figures drawn by matplotlib without a window: bars and curves, as RGB images and PNG files."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval
from tts_meta.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rgb = NDArray[np.uint8]
"""An image `(H, W, 3)`, one byte per channel."""

BAR_COLOUR = (150, 45, 128)
DPI = 100
"""Pixels per inch of every figure but that of the README."""

_BAR_HEIGHT = 0.2
"""Inches from one bar to the next."""

_GREYS, _DASHES = ("0.5", "0.2", "0.35", "0.2"), (":", "--", "-.", (0, (8, 4)))
"""Colours and line styles of the reference lines, in the order of their names."""


@dataclass(frozen=True)
class Panel:
    """One set of axes with named curves, each a sequence of (x, interval)."""

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, Sequence[tuple[float, Interval]]]
    reference_lines: Mapping[str, float]
    """Values of horizontal lines by name, such as the score of real recordings."""


def draw_bars(values: Mapping[str, float], title: str = "", logarithmic: bool = False) -> Rgb:
    """Draw one horizontal bar per name, top to bottom in the order given; a value that is not finite has no bar.

    Raises UsageError if there are no values or, on a logarithmic scale, a value is not positive.
    """
    from matplotlib.figure import Figure

    if not values:
        raise UsageError("a bar chart needs at least one value")
    if logarithmic and min(values.values()) <= 0:
        raise UsageError("a logarithmic bar chart needs positive values; draw it with logarithmic=False")
    numbers = np.array([float(value) for value in values.values()])
    finite = numbers[np.isfinite(numbers)]
    low, high = _decades(finite) if logarithmic else (0, 0)
    lengths = np.where(np.isfinite(numbers), numbers, 10.0**low if logarithmic else 0.0)
    figure = Figure(figsize=(7.0, _BAR_HEIGHT * len(values) + 0.9), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(values)), lengths, height=0.6, color=[channel / 255 for channel in BAR_COLOUR])
    if logarithmic:
        axes.set_xscale("log")
        # The labels of the longest bars are to the right of the last power of ten.
        axes.set_xlim(10.0**low, 10.0 ** (high + 0.12 * (high - low)))
        axes.minorticks_off()
    axes.bar_label(bars, [f" {number:.3g}" for number in numbers], fontsize=8)
    axes.set_yticks(range(len(values)), list(values), fontsize=8)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.85")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(title, fontsize=9)
    return rasterize(figure)


def draw_curves(panels: Sequence[Panel], columns: int, logarithmic: bool = True) -> Rgb:
    """Draw panels in rows of `columns` with one common legend.

    With `logarithmic` the x axis is linear from 0 to 1 and logarithmic above 1.
    """
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows + 0.6), dpi=110, layout="constrained")
    curve_names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    line_names = list(dict.fromkeys(name for panel in panels for name in panel.reference_lines))
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(all_axes, panels, strict=False):
        for number, name in enumerate(curve_names):
            if points := panel.curves.get(name, ()):
                _draw_curve(axes, points, name, f"C{number % 10}")
        for name, value in panel.reference_lines.items():
            number = line_names.index(name)
            style = {"color": _GREYS[number % len(_GREYS)], "linestyle": _DASHES[number % len(_DASHES)]}
            axes.axhline(value, label=name, **style)
        if logarithmic:
            ticks = spaced_ticks(x for points in panel.curves.values() for x, _ in points)
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(left=min([0.0, *ticks]) - 0.3)
            axes.set_xticks(ticks, [f"{x:,g}" for x in ticks])
            axes.minorticks_off()
        axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    handles = {
        label: handle for axes in all_axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    return rasterize(figure)


def spaced_ticks(values: Iterable[float]) -> list[float]:
    """The values, in order, whose labels do not overlap: each at least twice the one before."""
    ticks: list[float] = []
    for value in sorted(set(values)):
        if not ticks or value >= 2 * ticks[-1]:
            ticks.append(value)
    return ticks


def rasterize(figure: Figure) -> Rgb:
    """Draw a matplotlib figure that has no window, and return the image `(H, W, 3)`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png_bytes(image: Rgb) -> bytes:
    """Return an image `(H, W, 3)` as the content of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def write_png(path: str | Path, image: Rgb) -> None:
    """Write an image `(H, W, 3)` as PNG, completely or not at all. Raises TtsMetaError if it cannot be written."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(png_bytes(image))


def _draw_curve(axes: Axes, points: Sequence[tuple[float, Interval]], name: str, colour: str) -> None:
    x = [x for x, _ in points]
    means, lows, highs = ([getattr(interval, key) for _, interval in points] for key in ("mean", "low", "high"))
    axes.plot(x, means, "o-", color=colour, markersize=3, label=name)
    axes.fill_between(x, lows, highs, color=colour, alpha=0.1)


def _decades(values: NDArray[np.float64]) -> tuple[int, int]:
    """Powers of ten below the smallest value, so that its bar has a length, and from the largest on."""
    smallest, largest = (values.min(), values.max()) if values.size else (1.0, 1.0)
    return math.ceil(math.log10(smallest)) - 1, math.ceil(math.log10(largest))
