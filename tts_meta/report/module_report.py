"""What a voice is made of, as a page: the learned σ of each module, its path, and how far voices really went."""

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
from tts_meta.report.curves import Panel, curves_picture
from tts_meta.report.figures import Rgb, bar_picture
from tts_meta.report.module_figure import module_picture
from tts_meta.report.page import ListeningPage

_SHOWN = 8
"""Modules whose paths are drawn: those with the largest σ, and as many with the smallest."""


def write_discovery(
    path: Path, base: Base, voices: Sequence[Voice], beside: Mapping[str, Mapping[str, float]] | None = None
) -> None:
    """Write the page, one file; `beside`: σ by module that other runs found, by the name of each.

    Raises TtsMetaError where the base has no prior, or a voice is of another base; UsageError where another run's
    modules are others.
    """
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no prior to show; make one by tts-meta meta-train")
    sigmas = base.prior.sigmas
    partition, kept = adaptable_modules(base), set(chosen_modules(base, CloneSettings()).names)
    order = sorted(sigmas, key=lambda name: -sigmas[name])
    learner, steps = (base.prior.origin.get(key, "?") for key in ("learner", "meta_steps"))
    page = ListeningPage(
        "What a voice is made of",
        "σ is how far each parameter of a module strays from voice to voice, as meta-training over speakers found it: "
        f"{learner}, {steps} meta-steps.",
        base.config.audio.mel,
    )
    section = page.section("σ of each module")
    section.picture(bar_picture({name: sigmas[name] for name in order}, "σ", logarithmic=True), "Bars of σ by module")
    sizes = {module.name: module.size for module in partition.modules}
    moved, expected = module_distances(base, partition, voices), expected_distances(base, partition)
    columns = ("moved, of what is expected", "moved, of the weights") if voices else ()
    head = ("Module", "Parameters", "σ", "clone adapts", *columns)
    rows = [
        (
            name,
            f"{sizes[name]:,}",
            sigmas[name],
            "yes" if name in kept else "",
            *_moves(moved.get(name), expected[name]),
        )
        for name in order
        if name in sizes
    ]
    if not voices:
        rows = [row[:4] for row in rows]
    section.table(head, rows, digits=[0, 0, 4, 0, *((2, 3) if voices else ())])
    if beside:
        _add_agreement(page, {"this one": sigmas, **beside}, len(kept & set(sigmas)), order)
    if base.prior.sigma_history:
        _add_paths(page, base.prior.sigma_history, order)
    if voices:
        bars = {name: moved[name][0] / expected[name] for name in order if name in moved}
        text = (
            f"Root mean square over parameters and over {len(voices)} voices, as a part of that of voices drawn from "
            "the prior: 1 is as far as expected."
        )
        section = page.section("How far voices went", text)
        section.picture(bar_picture(bars, "moved / expected"), "Bars of how far voices went by module")
    page.write(path, embed=True)


def base_picture(base: Base) -> Rgb:
    """The figure of σ of each module that meta-training found. Raises TtsMetaError if the base has no prior."""
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no prior to draw; make one by tts-meta meta-train")
    sigmas = base.prior.sigmas
    sizes = {module.name: module.size for module in adaptable_modules(base).modules if module.name in sigmas}
    adapted = set(chosen_modules(base, CloneSettings()).names)
    return module_picture({name: sigmas[name] for name in sizes}, adapted, sizes)


def module_distances(base: Base, partition: Partition, voices: Sequence[Voice]) -> dict[str, tuple[float, float]]:
    """Of each module that the voices change: the root mean square of what a parameter moved, and its part of theirs.

    Raises TtsMetaError where a voice is of another base.
    """
    weights = dict(base.acoustic.named_parameters())
    changes, found = [voice.changes(base) for voice in voices], {}
    for module in partition.modules:
        moved = module.root_mean_square(*changes)
        if moved is not None:
            found[module.name] = moved, moved / max(module.root_mean_square(weights) or 0.0, 1e-12)
    return found


def expected_distances(base: Base, partition: Partition) -> dict[str, float]:
    """Of each module that the prior knows: the root mean square of a parameter's move in voices drawn from it."""
    if base.prior is None:
        return {}
    weights, found = dict(base.acoustic.named_parameters()), {}
    for module in partition.modules:
        if sigma := base.prior.sigmas.get(module.name):
            own = [weights[name].detach() for name in module.parameters]
            squares = sum(value.numel() * expected_delta_rms(value, base.prior.rank, sigma) ** 2 for value in own)
            found[module.name] = (squares / sum(value.numel() for value in own)) ** 0.5
    return found


def _moves(distance: tuple[float, float] | None, expected: float) -> tuple[float | None, float | None]:
    return (None, None) if distance is None else (distance[0] / expected, distance[1])


def pairs_of_runs(runs: Mapping[str, Mapping[str, float]], largest: int) -> dict[tuple[str, str], Agreement]:
    """How far each two runs agree, by their names. Raises UsageError as `agreement` does."""
    return {(a, b): agreement(runs[a], runs[b], largest) for a, b in combinations(runs, 2)}


def _add_agreement(
    page: ListeningPage, runs: Mapping[str, Mapping[str, float]], largest: int, order: Sequence[str]
) -> None:
    """Tables of each two runs, and of every σ by all of them."""
    pairs = pairs_of_runs(runs, largest)
    chance = next(iter(pairs.values())).expected
    section = page.section(
        "Do other runs find the same?",
        f"Rank correlation of σ over modules, with 95 % intervals; how many modules are among the {largest} largest of "
        f"both ({chance:.1f} by chance); and what one σ is of the other, up or down, for the median module.",
    )
    rows = [
        (one, other, found.correlation.mean, found.correlation.low, found.correlation.high, found.common, found.factor)
        for (one, other), found in pairs.items()
    ]
    section.table(
        ("Run", "and", "correlation", "from", "to", "largest in common", "factor"), rows, digits=[0, 0, 2, 2, 2, 0, 2]
    )
    table = [(name, *(sigmas[name] for sigmas in runs.values())) for name in order]
    section.table(("Module", *runs), table, digits=[0, *[4] * len(runs)])


def _add_paths(page: ListeningPage, path: Mapping[str, Sequence[float]], order: Sequence[str]) -> None:
    """Curves of σ over meta-steps, of the largest and of the smallest at the end."""
    drawn = [name for name in order if name in path]
    panels = [
        Panel(
            title,
            "meta-steps",
            "σ",
            {name: [(float(step), Interval(s, s, s, 1)) for step, s in enumerate(path[name], 1)] for name in names},
            {},
        )
        for title, names in (("largest", drawn[:_SHOWN]), ("smallest", drawn[-_SHOWN:]))
    ]
    section = page.section("σ over meta-training")
    section.picture(curves_picture(panels, 2, logarithmic=False), "Curves of σ over meta-steps for some modules")
