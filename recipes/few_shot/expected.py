"""What `clone` may say of a voice beforehand, and whether it may be believed.

python -m recipes.few_shot.expected recipes/few_shot/expected.yaml [--check recipes/few_shot/ten.yaml]

Runs the recipe (few-shot benchmark, one learner), fits a line to each score, writes `similarity_forecast.json`
beside the base and prints what it says. Reliability: how many voices lie in the range told at each level, of each
speaker by the line of the others; with `--check` also voices of that recipe's speakers, by the same learner and by the
line of all. Tables on standard output, and `reliability.png` in the recipe's output folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.recipe_io import markdown_table
from tts_meta.adapt import SimilarityForecast, Voice
from tts_meta.adapt.similarity_forecast import FILE, VERSIONS, ScoreFit, cross_validated_coverage, interval_coverage
from tts_meta.cli import run_command
from tts_meta.cli.console import print_message
from tts_meta.config import load_config
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.confidence import Interval
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, FewShotResults, run_few_shot
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.scores import columns
from tts_meta.evaluate.voice import REAL
from tts_meta.files import sha256_file
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.shrinkage_prior import FILE as PRIOR_FILE
from tts_meta.models.vocoders.vocoder import Vocoder, load_vocoder
from tts_meta.report.figures import Panel, draw_curves, write_png

SCORES = ("similarity",)
"""What is told. DistillMOS follows the recordings' more than their length, and of words five sentences show too few."""
LEVELS = (0.2, 0.4, 0.6, 0.8, 0.9)


@dataclass(frozen=True)
class Voices:
    """Seconds that each of N voices was adapted on, whose voice it is, and its scores by name."""

    seconds: list[float]
    speakers: list[str]
    scores: dict[str, list[float]]

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Voices:
        """Means over the unseen sentences."""
        seconds = [float(Voice.load(trial.voice).scores["seconds"]) for trial in trials]
        means = {name: [float(np.mean([row[name] for row in trial.scores])) for trial in trials] for name in SCORES}
        return cls(seconds, [trial.speaker for trial in trials], means)


def fit(voices: Voices, results: FewShotResults, base: Base) -> SimilarityForecast:
    """What is expected of the base's voices. Raises TtsMetaError where it is not a folder with a prior."""
    if base.folder is None or base.prior is None:
        raise TtsMetaError("give a base with a prior: without one `clone` is another learner")
    real = [one.scores for one in results.spoken if one.system == REAL]
    fits = {
        name: ScoreFit.fit(voices.seconds, scores, voices.speakers, float(np.mean([row[name] for row in real])))
        for name, scores in voices.scores.items()
    }
    prior = sha256_file(base.folder / PRIOR_FILE)
    return SimilarityForecast(base.hash, prior, min(voices.seconds), max(voices.seconds), fits, VERSIONS)


def reliability(
    voices: Voices, expected: SimilarityForecast, others: Voices | None
) -> dict[str, dict[str, list[float]]]:
    """By score and by whose voices, which part of them lies in the range told at each of `LEVELS`."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, score_fit in expected.fits.items():
        found[name] = {
            "speakers left out": cross_validated_coverage(voices.seconds, voices.scores[name], voices.speakers, LEVELS)
        }
        if others is not None:
            found[name]["speakers of the check"] = interval_coverage(
                score_fit, others.seconds, others.scores[name], LEVELS
            )
    return found


def run(recipe: FewShotBenchmark, base: Base, vocoder: Vocoder) -> tuple[Voices, FewShotResults]:
    """The voices of the recipe's learner, and all that was scored."""
    results = run_few_shot(recipe, base, vocoder, print_message)
    return Voices.of(results.trials), results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="of the few-shot benchmark, with one learner")
    parser.add_argument("--check", type=Path, help="a recipe of other speakers, whose learners do not matter")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="KEY=VALUE of both recipes")
    arguments = parser.parse_args()
    recipe = load_config(arguments.recipe, FewShotBenchmark, arguments.changes)
    base, vocoder = load_base(recipe.base), load_vocoder(recipe.vocoder)
    voices, results = run(recipe, base, vocoder)
    others = None
    if arguments.check is not None:
        its = load_config(arguments.check, FewShotBenchmark, arguments.changes)
        name = next(iter(recipe.learners))
        others, _ = run(its.model_copy(update={"learners": {name: recipe.learners[name]}}), base, vocoder)
    expected = fit(voices, results, base)
    assert base.folder is not None
    expected.save(base.folder / FILE)

    headings = {name: columns()[name].heading for name in SCORES}
    rows = [
        [
            f"{seconds:.0f}",
            *(f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in expected.predict(seconds).values()),
        ]
        for seconds in (expected.min_seconds, *(5.0 * 2**n for n in range(8)), expected.max_seconds)
        if expected.min_seconds <= seconds <= expected.max_seconds
    ]
    print(markdown_table(["seconds of speech", *headings.values()], rows))
    found = reliability(voices, expected, others)
    heads = [f"{headings[name]}, {whose}" for name, its in found.items() for whose in its]
    shares = [
        [f"{level:.0%}", *(f"{its[whose][n]:.0%}" for its in found.values() for whose in its)]
        for n, level in enumerate(LEVELS)
    ]
    print(markdown_table(["in the range told at", *heads], shares))
    panels = [
        Panel(
            headings[name],
            "told",
            "found",
            {"as told": _points(LEVELS)} | {whose: _points(part) for whose, part in its.items()},
            {},
        )
        for name, its in found.items()
    ]
    write_png(recipe.output / "reliability.png", draw_curves(panels, columns=len(panels), logarithmic=False))


def _points(shares: Sequence[float]) -> list[tuple[float, Interval]]:
    return [(level, Interval(share, share, share, 1)) for level, share in zip(LEVELS, shares, strict=True)]


if __name__ == "__main__":
    sys.exit(run_command(main))
