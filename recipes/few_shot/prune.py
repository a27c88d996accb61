"""Pruning experiment: score voices in which fewer modules adapt, chosen by σ, by size of change, or at random.

Command: python -m recipes.few_shot.prune recipes/few_shot/prune.yaml [--keep 32 16 8]

The command prints a table and writes `prune.png`. The recipe is a recipe of the few-shot benchmark whose first method
adapts every module. The command then makes voices in which fewer modules adapt: the modules of the largest σ, the
modules with the largest change relative to their weights, and random modules. All voices adapt on the same sentences.
The other methods of the recipe run unchanged; the figure has a line for each of them.
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
    parser.add_argument("recipe", type=Path, help="recipe of the few-shot benchmark")
    parser.add_argument("--keep", type=int, nargs="+", default=(32, 16, 8), help="numbers of modules to keep")
    parser.add_argument(
        "--keep-others", type=int, nargs="+", default=(), help="numbers for the other orders; default: those of --keep"
    )
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of the recipe, KEY=VALUE"
    )
    arguments = parser.parse_args()
    recipe = load_config(arguments.recipe, FewShotBenchmark, arguments.changes)
    base, vocoder = load_base(recipe.base), load_vocoder(recipe.vocoder)
    results = prune(recipe, arguments.keep, base, vocoder, relative_changes(base), print_message, arguments.keep_others)
    print(write_few_shot_report(recipe.output, results, base.config.audio.mel))
    write_pruning_figure(recipe.output / "prune.png", results, base)


if __name__ == "__main__":
    sys.exit(run_command(main))
