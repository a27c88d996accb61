"""Prune and remeasure: what is lost where fewer modules adapt, dropped in the order of σ, of change, or at random.

python -m recipes.few_shot.prune recipes/few_shot/prune.yaml [--left 32 16 8]      hours; a table and curves

The recipe is one of the few-shot benchmark with one learner, which adapts every module. Voices of the same sentences
are then made anew with fewer modules: those of the largest σ, those that moved furthest in the voices of all modules,
in units of their own weights, and some drawn at random.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tts_meta.adapt import Voice, adaptable_modules
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, FewShotResults, run_few_shot
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.scores import columns
from tts_meta.evaluate.table import summarise
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.vocoder import Vocoder, load_vocoder
from tts_meta.report.few_shot import write_few_shot_report
from tts_meta.report.figures import Panel, draw_curves, write_png
from tts_meta.report.module_report import module_distances

LEFT = (32, 16, 8)


def orders(base: Base, whole: Sequence[Trial], seed: int) -> dict[str, list[str]]:
    """Names of all modules, those to keep longest first. Raises TtsMetaError where the base has no prior."""
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no prior to drop modules by; make one by tts-meta meta-train")
    partition, variances = adaptable_modules(base), base.prior.variances
    moved = module_distances(base, partition, [Voice.load(trial.voice) for trial in whole])
    names = list(partition.names)
    drawn = random.Random(seed).sample(names, len(names))
    return {
        "σ": sorted(names, key=lambda name: -variances.get(name, 0.0)),
        "change": sorted(names, key=lambda name: -moved[name][1] if name in moved else 0.0),
        "random": drawn,
    }


def prune(recipe: FewShotBenchmark, left: Sequence[int], base: Base, vocoder: Vocoder) -> FewShotResults:
    """The recipe's learner, and the same with so many modules left in each order. Raises as `orders` and cloning do."""
    name, learner = next(iter(recipe.learners.items()))
    whole = run_few_shot(recipe.model_copy(update={"learners": {name: learner}}), base, vocoder, print).trials
    learners = {name: learner}
    for order, modules in orders(base, whole, recipe.seed).items():
        for count in left:
            learners[f"{order}: {count}"] = learner.model_copy(update={"modules": tuple(modules[:count])})
    return run_few_shot(recipe.model_copy(update={"learners": learners}), base, vocoder, print)


def panels(results: FewShotResults, modules: int) -> list[Panel]:
    """Of each score, curves over how many modules are left, one an order."""
    means = {summary.group[0]: summary.intervals for summary in summarise(results.scores())}
    systems = {trial.learner: trial.system for trial in results.trials}
    whole, *others = systems
    shown = []
    for column in columns().values():
        if column.name in means[systems[whole]]:
            curves: dict[str, list[tuple[float, Interval]]] = {}
            for learner in others:
                order, _, left = learner.rpartition(": ")
                curves.setdefault(order, []).append((float(left), means[systems[learner]][column.name]))
            ends = [(float(modules), means[systems[whole]][column.name])]
            its = {order: sorted(points, key=lambda point: point[0]) + ends for order, points in curves.items()}
            shown.append(Panel("", "modules that adapt", column.heading, its, {}))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="of the few-shot benchmark, with one learner")
    parser.add_argument("--left", type=int, nargs="+", default=LEFT, help="how many modules are left")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="KEY=VALUE of the recipe")
    arguments = parser.parse_args()
    recipe = load_config(arguments.recipe, FewShotBenchmark, arguments.changes)
    base = load_base(recipe.base)
    results = prune(recipe, arguments.left, base, load_vocoder(recipe.vocoder))
    print(write_few_shot_report(recipe.output, results, base.config.audio.mel))
    picture = draw_curves(panels(results, len(adaptable_modules(base).names)), columns=3, logarithmic=False)
    write_png(recipe.output / "prune.png", picture)


if __name__ == "__main__":
    sys.exit(run_command(main))
