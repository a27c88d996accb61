"""Figure of prune-and-remeasure: each score against the number of modules that adapt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_meta.adapt import Voice, adaptable_modules
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.benchmark import FewShotResults
from tts_meta.evaluate.few_shot.pruning import RelativeChanges, order_and_count
from tts_meta.evaluate.scores import columns
from tts_meta.evaluate.summary import summarise
from tts_meta.models.pretrained import Base
from tts_meta.report.figures import Panel, draw_curves, write_png
from tts_meta.report.module_report import module_distances


def relative_changes(base: Base) -> RelativeChanges:
    """A function from voices of the base to the change of each module, relative to its weights."""
    partition = adaptable_modules(base)

    def changes(voices: Sequence[Voice]) -> dict[str, float]:
        return {name: relative for name, (_, relative) in module_distances(base, partition, voices).items()}

    return changes


def pruning_panels(results: FewShotResults, modules: int) -> list[Panel]:
    """For each score, one curve per order of modules, and a line for each other method.

    modules: the number of all modules, where the curves end. The first method adapts all modules.
    """
    means = {summary.group[0]: summary.intervals for summary in summarise(results.scores())}
    systems = {trial.learner: trial.system for trial in results.trials}
    all_modules, *others = systems
    panels = []
    for column in columns().values():
        if column.name not in means[systems[all_modules]]:
            continue
        end = (float(modules), means[systems[all_modules]][column.name])
        curves: dict[str, list[tuple[float, Interval]]] = {}
        lines: dict[str, float] = {}
        for name in others:
            interval = means[systems[name]][column.name]
            if (pruned := order_and_count(name)) is None:
                lines[name] = interval.mean
            else:
                curves.setdefault(pruned[0], [end]).append((float(pruned[1]), interval))
        sorted_curves = {order: sorted(points, key=lambda point: point[0]) for order, points in curves.items()}
        panels.append(Panel("", "modules that adapt", column.heading, sorted_curves, lines))
    return panels


def write_pruning_figure(path: Path, results: FewShotResults, base: Base) -> None:
    """Write the PNG."""
    panels = pruning_panels(results, len(adaptable_modules(base).names))
    write_png(path, draw_curves(panels, columns=3, logarithmic=False))
