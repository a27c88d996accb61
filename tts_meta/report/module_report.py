"""The page of `tts-meta inspect --html`: σ of each module, its history, and how far voices moved each module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from tts_meta.adapt import CloneSettings, Voice, adaptable_modules, chosen_modules
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.rank_agreement import Agreement, agreement
from tts_meta.models.low_rank import expected_delta_rms
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base
from tts_meta.report.figures import Panel, Rgb, draw_bars, draw_curves
from tts_meta.report.module_figure import draw_modules
from tts_meta.report.page import ListeningPage

_CURVES = 8
"""Modules whose σ is drawn over meta-steps: this many with the largest σ and this many with the smallest."""


def write_module_report(
    path: Path, base: Base, voices: Sequence[Voice], other_runs: Mapping[str, Mapping[str, float]] | None = None
) -> None:
    """Write the page as one file; `other_runs` holds σ by module of other runs, by their names.

    Raises TtsMetaError if the base has no prior or a voice is of another base, and UsageError if another run has other
    modules.
    """
    if base.learner is None or base.prior is None:
        raise TtsMetaError(f"{base.folder} has no prior to show; make one by tts-meta meta-train")
    sigmas = base.prior.sigmas
    partition, adapted = adaptable_modules(base), set(chosen_modules(base, CloneSettings()).names)
    order = sorted(sigmas, key=lambda name: -sigmas[name])
    page = ListeningPage(
        "Modules of a voice",
        "σ is the standard deviation, over voices, of each parameter of a module. Meta-training over many speakers "
        f"learned it: {base.learner.trained_by}, {base.learner.meta_steps} meta-steps.",
        base.config.audio.mel,
    )
    section = page.section("σ of each module")
    alt = "σ of each module along the model; the modules that clone adapts are coloured"
    section.image(draw_base_modules(base), alt)
    sizes = {module.name: module.size for module in partition.modules}
    moved, expected = module_distances(base, partition, voices), expected_distances(base, partition)
    rows = []
    for name in order:
        if name in sizes:
            row = (name, f"{sizes[name]:,}", sigmas[name], "yes" if name in adapted else "")
            rows.append((*row, *_distance_cells(moved.get(name), expected[name])) if voices else row)
    columns = ("distance / expected", "distance / weights") if voices else ()
    header = ("Module", "Parameters", "σ", "clone adapts", *columns)
    section.table(header, rows, digits=[0, 0, 4, 0, *((2, 3) if voices else ())])
    if other_runs:
        _add_agreement(page, {"this run": sigmas, **other_runs}, len(adapted & set(sigmas)), order)
    if base.prior.sigma_history:
        _add_history(page, base.prior.sigma_history, order)
    if voices:
        bars = {name: moved[name][0] / expected[name] for name in order if name in moved}
        text = (
            f"Root mean square over the parameters of each module and over {len(voices)} voices, divided by its "
            "expected value under the prior. 1 is as far as expected."
        )
        section = page.section("Distance of the voices from the base", text)
        section.image(draw_bars(bars, "distance / expected"), "Bars of the distance by module")
    page.write(path, embed=True)


def draw_base_modules(base: Base) -> Rgb:
    """Draw σ of each module of a meta-trained base. Raises TtsMetaError if the base has no prior."""
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no prior to draw; make one by tts-meta meta-train")
    sigmas = base.prior.sigmas
    sizes = {module.name: module.size for module in adaptable_modules(base).modules if module.name in sigmas}
    adapted = set(chosen_modules(base, CloneSettings()).names)
    return draw_modules({name: sigmas[name] for name in sizes}, adapted, sizes)


def module_distances(base: Base, partition: Partition, voices: Sequence[Voice]) -> dict[str, tuple[float, float]]:
    """Return how far voices moved each module that they change: (root mean square, the same / that of the weights).

    The root mean square is over parameters and voices. Raises TtsMetaError if a voice is of another base.
    """
    weights = dict(base.acoustic.named_parameters())
    changes, distances = [voice.changes(base) for voice in voices], {}
    for module in partition.modules:
        moved = module.root_mean_square(*changes)
        if moved is not None:
            distances[module.name] = moved, moved / max(module.root_mean_square(weights) or 0.0, 1e-12)
    return distances


def expected_distances(base: Base, partition: Partition) -> dict[str, float]:
    """Return the root mean square by which voices drawn from the prior move each module; empty without a prior."""
    if base.prior is None:
        return {}
    weights, distances = dict(base.acoustic.named_parameters()), {}
    for module in partition.modules:
        if sigma := base.prior.sigmas.get(module.name):
            values = [weights[name].detach() for name in module.parameters]
            squares = sum(v.numel() * expected_delta_rms(v, base.prior.rank, sigma) ** 2 for v in values)
            distances[module.name] = (squares / sum(v.numel() for v in values)) ** 0.5
    return distances


def compare_runs(runs: Mapping[str, Mapping[str, float]], largest: int) -> dict[tuple[str, str], Agreement]:
    """Compare σ of each pair of runs, by their names. Raises UsageError as `agreement` does."""
    return {(a, b): agreement(runs[a], runs[b], largest) for a, b in combinations(runs, 2)}


def _distance_cells(distance: tuple[float, float] | None, expected: float) -> tuple[float | None, float | None]:
    return (None, None) if distance is None else (distance[0] / expected, distance[1])


def _add_agreement(
    page: ListeningPage, runs: Mapping[str, Mapping[str, float]], largest: int, order: Sequence[str]
) -> None:
    """Add a table of each pair of runs, and a table of every σ in all runs."""
    pairs = compare_runs(runs, largest)
    chance = next(iter(pairs.values())).expected
    section = page.section(
        "Agreement of independent runs",
        f"The rank correlation of σ over modules, with its 95 % interval; the number of modules that are among the "
        f"{largest} largest of both runs ({chance:.1f} by chance); and the median over modules of the factor between "
        "the two σ.",
    )
    rows = [
        (one, other, pair.correlation.mean, pair.correlation.low, pair.correlation.high, pair.common, pair.factor)
        for (one, other), pair in pairs.items()
    ]
    header = ("Run", "Other run", "correlation", "low", "high", "largest in common", "median factor")
    section.table(header, rows, digits=[0, 0, 2, 2, 2, 0, 2])
    sigma_rows = [(name, *(sigmas[name] for sigmas in runs.values())) for name in order]
    section.table(("Module", *runs), sigma_rows, digits=[0, *[4] * len(runs)])


def _add_history(page: ListeningPage, history: Mapping[str, Sequence[float]], order: Sequence[str]) -> None:
    """Add curves of σ over meta-steps, of the modules whose σ is largest and smallest at the end."""
    recorded = [name for name in order if name in history]
    panels = []
    for title, names in (("largest σ", recorded[:_CURVES]), ("smallest σ", recorded[-_CURVES:])):
        curves = {
            name: [(float(step), Interval(s, s, s, 1)) for step, s in enumerate(history[name], 1)] for name in names
        }
        panels.append(Panel(title, "meta-steps", "σ", curves, {}))
    section = page.section("σ during meta-training")
    section.image(draw_curves(panels, 2, logarithmic=False), "Curves of σ over meta-steps for some modules")
