"""Fit the similarity forecast that `clone` prints, and measure its reliability.

Command: python -m recipes.few_shot.forecast recipes/few_shot/forecast.yaml [--check recipes/few_shot/ten.yaml]

The recipe is a recipe of the few-shot benchmark with one method. The command runs the recipe and fits a line to each
score over the logarithm of the seconds of speech. The command writes the forecast into the base folder, prints tables,
and writes `reliability.png` into the output folder of the recipe. Reliability is the fraction of voices inside the
prediction interval at each level. The voices of a speaker are predicted by the line of the other speakers. With
`--check`, the same method also makes voices of the speakers in a second recipe. These voices are predicted by the line
of all speakers in the first recipe.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tts_meta.adapt.similarity_forecast import FILE
from tts_meta.cli import run_command
from tts_meta.cli.console import print_message
from tts_meta.config import load_config
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
from tts_meta.evaluate.few_shot.forecast import ForecastData, fit_forecast, reliability
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.forecast import forecast_table, reliability_table, write_reliability_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of the few-shot benchmark with one method")
    parser.add_argument(
        "--check", type=Path, help="second recipe with other speakers; the methods of this recipe are not used"
    )
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of both recipes, KEY=VALUE"
    )
    arguments = parser.parse_args()
    recipe = load_config(arguments.recipe, FewShotBenchmark, arguments.changes)
    base, vocoder = load_base(recipe.base), load_vocoder(recipe.vocoder)
    results = run_few_shot(recipe, base, vocoder, print_message)
    data, other_speakers = ForecastData.from_trials(results.trials), None
    if arguments.check is not None:
        check = load_config(arguments.check, FewShotBenchmark, arguments.changes)
        check = check.model_copy(update={"learners": dict([next(iter(recipe.learners.items()))])})
        other_speakers = ForecastData.from_trials(run_few_shot(check, base, vocoder, print_message).trials)
    forecast = fit_forecast(data, results, base)
    assert base.folder is not None
    forecast.save(base.folder / FILE)
    fractions = reliability(data, forecast, other_speakers)
    print(forecast_table(forecast))
    print(reliability_table(fractions))
    write_reliability_figure(recipe.output / "reliability.png", fractions)


if __name__ == "__main__":
    sys.exit(run_command(main))
