"""Prune and remeasure: the scores of voices of fewer modules, chosen by σ, by how far they moved, or at random.

python -m recipes.few_shot.prune recipes/few_shot/prune.yaml [--keep 32 16 8]      hours; a table and `prune.png`

The recipe is one of the few-shot benchmark with one method that adapts every module. The same sentences are then used
for voices of fewer modules: those of the largest σ, those that moved furthest relative to their weights, and random
ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tts_meta.cli import run_command
from tts_meta.cli.console import print_message
from tts_meta.config import load_config
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark
from tts_meta.evaluate.few_shot.pruning import prune
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.few_shot import write_few_shot_report
from tts_meta.report.pruning import relative_changes, write_pruning_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of the few-shot benchmark with one method")
    parser.add_argument("--keep", type=int, nargs="+", default=(32, 16, 8), help="numbers of modules to keep")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="KEY=VALUE of the recipe")
    arguments = parser.parse_args()
    recipe = load_config(arguments.recipe, FewShotBenchmark, arguments.changes)
    base, vocoder = load_base(recipe.base), load_vocoder(recipe.vocoder)
    results = prune(recipe, arguments.keep, base, vocoder, relative_changes(base), print_message)
    print(write_few_shot_report(recipe.output, results, base.config.audio.mel))
    write_pruning_figure(recipe.output / "prune.png", results, base)


if __name__ == "__main__":
    sys.exit(run_command(main))
