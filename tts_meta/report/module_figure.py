"""The figure of σ of every module along the model, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from tts_meta.errors import UsageError
from tts_meta.report.figures import Rgb, rasterize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ADAPTED, _SHARED, _LINE = "#0072b2", "#a3a7ae", "#565f6e"
"""A blue of Okabe and Ito's colour-blind safe palette, and two greys."""

_MARKERS = {"weight": "o", "bias": "^"}


def draw_modules(sigmas: Mapping[str, float], adapted: Collection[str], parameters: Mapping[str, int]) -> Rgb:
    """Draw σ of each module, in the order given, on a logarithmic scale; return the picture `(H, W, 3)`.

    Layers share one place on the x axis: a circle is their weight, a triangle their bias. Layers of one sub-network
    stand together. `adapted` names the modules that `clone` adapts, which are coloured; `parameters` holds the number
    of parameters of each module. Raises UsageError if there are no modules or a σ is not positive.
    """
    from matplotlib.figure import Figure

    if not sigmas or min(sigmas.values()) <= 0:
        raise UsageError("a figure of modules needs at least one σ, all of them positive")
    layers = sorted(dict.fromkeys(layer_of(name) for name in sigmas), key=_group_order(sigmas))
    places = {layer: place for place, layer in enumerate(layers)}
    figure = Figure(figsize=(9, 4.7), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.set_yscale("log")
    low, high = min(sigmas.values()) / 1.3, max(sigmas.values()) * 1.25
    axes.set_ylim(low, high)
    axes.set_xlim(-0.7, len(layers) - 0.3)
    _draw_modules(axes, sigmas, adapted, places)
    _draw_groups(axes, layers)
    threshold = _threshold(sigmas, adapted)
    if threshold is not None:
        axes.axhline(threshold, color=_LINE, linewidth=1, linestyle=(0, (4, 3)), zorder=1, label="threshold")
    _label_axes(axes, layers, low, high)
    chosen = sum(parameters[name] for name in sigmas if name in adapted)
    total = sum(parameters[name] for name in sigmas)
    figure.suptitle(
        "σ of each module: how much its parameters differ between voices\n"
        f"clone adapts {sum(name in adapted for name in sigmas)} of {len(sigmas)} modules, which hold "
        f"{chosen / 1e6:.1f} of {total / 1e6:.1f} million parameters",
        fontsize=10,
    )
    figure.legend(loc="outside lower center", fontsize=9, ncols=5, frameon=False, handletextpad=0.3)
    return rasterize(figure)


def layer_of(module: str) -> tuple[str, str]:
    """The sub-network of a module, and the label of its layer in it."""
    head, _, rest = module.partition(".")
    group = head.removesuffix("_projection")
    parts = [part for part in rest.split(".") if part not in ("weight", "bias", "conv")]
    if group != head:
        parts.insert(0, "projection")
    return group, ".".join(parts) or group


def _group_order(sigmas: Mapping[str, float]):
    """The sort key that puts the layers of a sub-network together, sub-networks by their first module."""
    groups = list(dict.fromkeys(layer_of(name)[0] for name in sigmas))
    return lambda layer: groups.index(layer[0])


def _draw_modules(
    axes: Axes, sigmas: Mapping[str, float], adapted: Collection[str], places: Mapping[tuple[str, str], int]
) -> None:
    for kind, marker in _MARKERS.items():
        for is_adapted in (True, False):
            names = [n for n in sigmas if n.endswith(".bias") == (kind == "bias") and (n in adapted) == is_adapted]
            if not names:
                continue
            offset = 0.16 if kind == "bias" else -0.16
            x = [places[layer_of(name)] + (offset if _has_pair(name, sigmas) else 0.0) for name in names]
            colour = _ADAPTED if is_adapted else _SHARED
            y = [sigmas[name] for name in names]
            axes.vlines(x, axes.get_ylim()[0], y, color=colour, linewidth=1.6, alpha=0.45, zorder=2)
            label = f"{kind}, {'adapted' if is_adapted else 'shared by all voices'}"
            axes.scatter(x, y, s=40, color=colour, marker=marker, label=label, zorder=3, linewidths=0)


def _has_pair(name: str, sigmas: Mapping[str, float]) -> bool:
    stem, _, kind = name.rpartition(".")
    return kind in _MARKERS and all(f"{stem}.{other}" in sigmas for other in _MARKERS)


def _draw_groups(axes: Axes, layers: list[tuple[str, str]]) -> None:
    """Shade every second sub-network and write the names of all above the axes."""
    start = 0
    for number, (group, members) in enumerate(groupby(layers, key=lambda layer: layer[0])):
        end = start + len(list(members))
        if number % 2 == 0:
            axes.axvspan(start - 0.5, end - 0.5, color="#f0f1f4", zorder=0, linewidth=0)
        axes.text(
            (start + end - 1) / 2,
            1.015,
            group,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=9,
            fontweight="bold",
        )
        start = end


def _threshold(sigmas: Mapping[str, float], adapted: Collection[str]) -> float | None:
    """The σ that parts adapted modules from the others, None if no single one does."""
    inside = [sigma for name, sigma in sigmas.items() if name in adapted]
    outside = [sigma for name, sigma in sigmas.items() if name not in adapted]
    if not inside or not outside or min(inside) <= max(outside):
        return None
    return (min(inside) * max(outside)) ** 0.5


def _label_axes(axes: Axes, layers: list[tuple[str, str]], low: float, high: float) -> None:
    ticks = [digit * 10.0**power for power in range(-8, 4) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=9)
    axes.minorticks_off()
    axes.set_ylabel("σ (logarithmic scale)", fontsize=9)
    axes.set_xticks(
        range(len(layers)),
        [label for _, label in layers],
        rotation=55,
        ha="right",
        fontsize=8.5,
        rotation_mode="anchor",
    )
    axes.tick_params(axis="x", length=0, pad=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
