"""Every learner on noisy sinusoids, few points and many steps: `python -m recipes.sinusoid [--output DIR]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.bench import in_processes, save_figure
from recipes.sinusoid.experiment import Experiment, Job, run
from recipes.sinusoid.report import draw, tables
from tts_meta.config import load_config
from tts_meta.meta.learners import preset_of


def main(arguments: Sequence[str] | None = None) -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m recipes.sinusoid", description=__doc__)
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="replaces a value of sinusoid.yaml")
    parser.add_argument("--learners", help="some of the recipe's, with commas between")
    parser.add_argument("--output", type=Path, default=Path("runs/sinusoid"), help="folder of the picture")
    chosen = parser.parse_args(arguments)
    experiment = load_config(Path(__file__).with_name("sinusoid.yaml"), Experiment, chosen.changes)
    if chosen.learners:
        wanted = chosen.learners.split(",")
        for name in wanted:
            preset_of(name)
        plans = {name: plan for name, plan in experiment.learners.items() if name in wanted}
        experiment = experiment.model_copy(update={"learners": plans})
    jobs = [
        Job(experiment.family, name, plan, experiment.seed, experiment.test_tasks, experiment.steps())
        for name, plan in experiment.learners.items()
    ]
    started, found = time.perf_counter(), {}
    for job, result in in_processes(run, jobs):
        found[job.name] = result
        print(f"{job.name}: {sum(result.seconds):.0f} s", flush=True)
    results = {name: found[name] for name in experiment.learners}
    print(f"\n{tables(experiment, results)}")
    print(f"All of it took {time.perf_counter() - started:.0f} s.")
    chosen.output.mkdir(parents=True, exist_ok=True)
    save_figure(draw(experiment, results), chosen.output / "sinusoid.png")


if __name__ == "__main__":
    main()
