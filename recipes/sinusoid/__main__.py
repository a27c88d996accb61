"""All learners on noisy sinusoids with few points and many steps: `python -m recipes.sinusoid [--output DIR]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import torch

from recipes.recipe_io import load_recipe, recipe_parser, save_figure
from recipes.sinusoid.experiment import Experiment, Job, run
from recipes.sinusoid.report import draw, tables
from recipes.toy_benchmark import run_in_processes
from tts_meta.cli import run_command
from tts_meta.meta import find_learner


def main(arguments: Sequence[str] | None = None) -> None:
    torch.set_num_threads(1)
    parser = recipe_parser("sinusoid", __doc__)
    parser.add_argument("--learners", help="some of the recipe's learners, separated by commas")
    options = parser.parse_args(arguments)
    experiment = load_recipe("sinusoid", Experiment, options.changes)
    if options.learners:
        wanted = options.learners.split(",")
        for name in wanted:
            find_learner(name)
        plans = {name: plan for name, plan in experiment.learners.items() if name in wanted}
        experiment = experiment.model_copy(update={"learners": plans})
    jobs = [
        Job(experiment.family, name, plan, experiment.seed, experiment.test_tasks, experiment.steps())
        for name, plan in experiment.learners.items()
    ]
    started, done = time.perf_counter(), {}
    for job, result in run_in_processes(run, jobs):
        done[job.name] = result
        print(f"{job.name}: {sum(result.seconds):.0f} s", flush=True)
    results = {name: done[name] for name in experiment.learners}
    print(f"\n{tables(experiment, results)}")
    print(f"Total time: {time.perf_counter() - started:.0f} s.")
    save_figure(draw(experiment, results), options.output / "sinusoid.png")


if __name__ == "__main__":
    sys.exit(run_command(main))
