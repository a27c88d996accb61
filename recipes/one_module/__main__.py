"""Which learners find the one module that varies between tasks? `python -m recipes.one_module [--output DIR]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from recipes.one_module.experiment import TRUTH, Experiment, Job, run
from recipes.one_module.report import draw, report
from recipes.recipe_io import load_recipe, recipe_parser, save_figure
from recipes.toy_benchmark import run_in_processes
from tts_meta.cli import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    torch.set_num_threads(1)
    options = recipe_parser("one_module", __doc__).parse_args(arguments)
    experiment = load_recipe("one_module", Experiment, options.changes)
    plans = [*experiment.learners.items(), (TRUTH, None)]
    jobs = [
        Job(family_name, family, name, plan, experiment.seed, experiment.test_tasks, experiment.test_steps)
        for family_name, family in experiment.families.items()
        for name, plan in plans
    ]
    done = {(job.family_name, job.name): result for job, result in run_in_processes(run, jobs)}
    results = {family: {name: done[family, name] for name, _ in plans} for family in experiment.families}
    print(report(experiment, results))
    save_figure(draw(experiment, results), options.output / "one_module.png")


if __name__ == "__main__":
    sys.exit(run_command(main))
