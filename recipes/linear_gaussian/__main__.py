"""Do σ-learners find the φ and σ that generated the tasks? `python -m recipes.linear_gaussian [--output DIR]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

from recipes.linear_gaussian.experiment import Experiment, Job, best_deviations_of, run
from recipes.linear_gaussian.oracle import MAP, best_deviations
from recipes.linear_gaussian.report import draw, report
from recipes.recipe_io import load_recipe, recipe_parser, save_figure
from recipes.toy_benchmark import run_in_processes
from tts_meta.cli import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    torch.set_num_threads(1)
    options = recipe_parser("linear_gaussian", __doc__).parse_args(arguments)
    experiment = load_recipe("linear_gaussian", Experiment, options.changes)
    family, plans = experiment.family, experiment.learners
    first_seed = [Job(family, name, plan, 0) for name, plan in plans.items()]
    best = {job.name: deviations for job, deviations in run_in_processes(best_deviations_of, first_seed)}
    unpretrained_jobs = [replace(job, plan=job.plan.model_copy(update={"pretrain_steps": 0})) for job in first_seed]
    jobs = [replace(job, seed=seed) for seed in range(experiment.seeds) for job in first_seed]
    results = {
        (job.name, job.seed, job.plan.pretrain_steps > 0): result
        for job, result in run_in_processes(run, unpretrained_jobs + jobs)
    }
    pretrained = {name: [results[name, seed, True] for seed in range(experiment.seeds)] for name in plans}
    unpretrained = {name: results[name, 0, False] for name in plans}
    print(report(experiment, pretrained, unpretrained, best_deviations(family, MAP, tasks=100), best))
    save_figure(draw(experiment, pretrained, best), options.output / "linear_gaussian.png")


if __name__ == "__main__":
    sys.exit(run_command(main))
