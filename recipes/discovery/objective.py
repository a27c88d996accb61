"""Measures the objective of σ along the σ of one module, to see whether it has more than one minimum.

Command: python -m recipes.discovery.objective recipes/discovery/meta_train.yaml RUN RUN --module encoder.lstm.weight

For each run, all other modules keep the σ of this run. For each σ of the module, each speaker is adapted to until the
automatic stop. The objective is the NLL of the query sentences, summed over their frames, plus the hyperprior. The
command prints a table, and writes it as `objective.jsonl` with the figure `objective.png`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recipes.discovery.episodes import SPEAKERS, Experiment, displacement, query_frames, query_nll
from recipes.discovery.sigma_paths import SigmaRun
from recipes.recipe_io import markdown_table
from tts_meta.cli import run_command
from tts_meta.cli.console import print_message
from tts_meta.config import load_config
from tts_meta.evaluate.confidence import Interval, mean_interval
from tts_meta.evaluate.score_files import read_lines, write_lines
from tts_meta.meta import Task
from tts_meta.meta.learners.gradient import ShrinkageSettings
from tts_meta.meta.prior import hyperprior_nll
from tts_meta.report.figures import Panel, draw_curves, write_png
from tts_meta.train.meta_train import MetaTrainConfig

VALUES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)


@dataclass(frozen=True)
class Profile:
    """The objective at several σ of a module, with the other σ of the run from `start`.

    nll: for each σ, the NLL of the query sentences of each speaker in nats. hyperprior: -log p(σ) of all modules at
    each σ.
    """

    start: float
    module: str
    own: float
    sigmas: list[float]
    speakers: list[str]
    nll: list[list[float]]
    hyperprior: list[float]

    def difference(self, index: int) -> Interval:
        """The mean objective at a σ minus that at the smallest σ, with the interval over speakers."""
        values = np.array(self.nll) + np.array(self.hyperprior)[:, None]
        return mean_interval(values[index] - values[0], self.speakers)


def read_profiles(path: Path) -> list[Profile]:
    """Read the file of this program. Raises TtsMetaError with the file and line."""
    advice = "an objective; write the file with recipes.discovery.objective"
    return read_lines(path, lambda record: Profile(**record), "objectives", advice)


def profile(
    experiment: Experiment, run: SigmaRun, tasks: Sequence[Task], module: str, values: Sequence[float]
) -> Profile:
    """Measure the objective at all σ of a module, from the smallest to the largest."""
    own, settings = {name: run.final(name) for name in run.sigmas}, experiment.learner.settings
    assert isinstance(settings, ShrinkageSettings)
    result = Profile(run.start, module, own[module], sorted(values), [task.name for task in tasks], [], [])
    for value in result.sigmas:
        learner = experiment.with_sigmas(own | {module: value})
        scores = [query_nll(learner, task, displacement(learner, task)) * query_frames(task) for task in tasks]
        result.nll.append([round(score, 2) for score in scores])
        penalty = hyperprior_nll(learner.log_variances.detach(), settings.hyperprior, settings.hyperprior_scale)
        result.hyperprior.append(round(float(penalty), 3))
        print_message(f"σ from {run.start:g}, σ of {module} {value:g}: {result.difference(-1).shown(1)} nats")
    return result


def table(profiles: Sequence[Profile]) -> str:
    """One row per σ of the module, with the difference of the objective for each run."""
    head = [f"σ of {profiles[0].module}", *(f"other σ from {each.start:g}" for each in profiles)]
    rows = [
        [f"{sigma:g}", *(each.difference(index).shown(1) for each in profiles)]
        for index, sigma in enumerate(profiles[0].sigmas)
    ]
    return markdown_table(head, rows)


def figure_panel(profiles: Sequence[Profile]) -> Panel:
    """The objectives as curves against log10 σ."""
    curves: Mapping[str, list[tuple[float, Interval]]] = {
        f"σ from {each.start:g}": [
            (float(np.log10(sigma)), each.difference(index)) for index, sigma in enumerate(each.sigmas)
        ]
        for each in profiles
    }
    return Panel(profiles[0].module, "log10 σ", "objective (nats), relative", curves, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of meta-training")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of this recipe")
    parser.add_argument("--module", required=True, help="name of the module")
    parser.add_argument("--values", type=float, nargs="+", default=VALUES, help="values of σ")
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS, help="speakers to measure on")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the table and the figure")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of the recipe, KEY=VALUE"
    )
    arguments = parser.parse_args()
    experiment = Experiment.of(load_config(arguments.recipe, MetaTrainConfig, arguments.changes))
    tasks, runs = experiment.tasks(arguments.speakers), [SigmaRun.read(folder) for folder in arguments.runs]
    profiles = [profile(experiment, run, tasks, arguments.module, arguments.values) for run in runs]
    write_lines(arguments.output / "objective.jsonl", map(asdict, profiles))
    write_png(arguments.output / "objective.png", draw_curves([figure_panel(profiles)], columns=1, logarithmic=False))
    print(table(profiles))


if __name__ == "__main__":
    sys.exit(run_command(main))
