"""Do σ-learners find the φ and σ that tasks were drawn with? `python -m recipes.linear_gaussian [--output DIR]`."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from matplotlib.figure import Figure
from torch import Tensor

from recipes.bench import in_processes, load_recipe, markdown, recipe_parser, save_figure, spread
from recipes.linear_gaussian.experiment import Experiment, Found, Job, best_of, run
from recipes.linear_gaussian.oracle import MAP, best_deviations, centre_floor
from tts_meta.cli import run_command

SHRUNK, CLOSE, RECOVERED = 0.1, 0.15, 0.05
"""What counts: σ of a constant module as a part of any varying one's; σ off its best by; ‖φ̂ - φ‖ / ‖φ‖."""


@dataclass(frozen=True)
class Verdict:
    """What code can say of a learner's mean over seeds."""

    shrunk: bool
    close: bool
    recovered: bool

    def cells(self) -> list[str]:
        return ["yes" if value else "no" for value in (self.shrunk, self.close, self.recovered)]


def judge(truth: Mapping[str, float], best: Mapping[str, float], found: Mapping[str, float], error: float) -> Verdict:
    """Constant modules below a tenth of every varying one; the varying ones near the best σ, where that is finite."""
    constant = [found[name] for name, value in truth.items() if value == 0]
    varying = {name: found[name] for name, value in truth.items() if value > 0}
    near = [abs(v - best[name]) <= CLOSE * best[name] for name, v in varying.items() if math.isfinite(best[name])]
    return Verdict(max(constant) < SHRUNK * min(varying.values()), all(near), error < RECOVERED)


def interval(values: Tensor) -> str:
    """Mean and 68 % interval over seeds."""
    mean, low, high = spread(values)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3f}"


def report(
    experiment: Experiment,
    found: Mapping[str, Sequence[Found]],
    unprepared: Mapping[str, Found],
    best_map: Mapping[str, float],
    best: Mapping[str, Mapping[str, float]],
) -> str:
    """The tables."""
    truth, names = experiment.family.deviations, list(experiment.family.deviations)
    rows = [["truth", *map(number, truth.values())], ["best for the MAP", *map(number, best_map.values())]]
    errors, verdicts = [], []
    for name, runs in found.items():
        steps = experiment.learners[name].settings.inner_steps
        ends, off = torch.stack([one.deviations[-1] for one in runs]), torch.stack([one.errors for one in runs])
        rows.append([f"best for {name}'s {steps} steps", *map(number, best[name].values())])
        rows.append([name, *map(interval, ends.unbind(1))])
        plan, bare = experiment.learners[name], unprepared[name]
        floor = centre_floor(experiment.family, (plan.meta_steps + plan.pretrain_steps) * plan.tasks)
        errors.append([name, *map(interval, off.unbind(1)), f"{floor:.3f}"])
        verdict = judge(
            truth, best[name], dict(zip(names, ends.mean(0).tolist(), strict=True)), float(off[:, 2].mean())
        )
        verdicts.append([name, *verdict.cells()])
        bare_end = dict(zip(names, bare.deviations[-1].tolist(), strict=True))
        bare_verdict = judge(truth, best[name], bare_end, float(bare.errors[2]))
        rows.append([f"{name}, not pretrained", *(f"{value:.3f}" for value in bare_end.values())])
        errors.append([f"{name}, not pretrained", *(f"{value:.3f}" for value in bare.errors), f"{floor:.3f}"])
        verdicts.append([f"{name}, not pretrained", *bare_verdict.cells()])
    seeds = f"mean and 68 % interval over {experiment.seeds} seeds; without pretraining, one seed"
    tests = [
        f"constant σ below {SHRUNK:g} of every varying one",
        f"σ of the others within {CLOSE:.0%} of its best",
        f"φ within {RECOVERED:.0%}",
    ]
    return "\n".join(
        [
            f"σ of each module ({seeds}):\n",
            markdown(["", *names], rows),
            f"‖φ̂ - φ‖ / ‖φ‖ ({seeds}):\n",
            markdown(["", "untrained", "pretrained", "meta-trained", "least possible"], errors),
            "Verdicts:\n",
            markdown(["", *tests], verdicts),
        ]
    )


def draw(
    experiment: Experiment, found: Mapping[str, Sequence[Found]], best: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Paths of σ, a panel for each learner."""
    figure = Figure(figsize=(3.6 * len(found), 3.6))
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axis, (name, runs) in zip(axes, found.items(), strict=True):
        for index, (module, true) in enumerate(experiment.family.deviations.items()):
            colour = f"C{index}"
            for one in runs:
                axis.plot(one.deviations[:, index].numpy(), color=colour, alpha=0.6, linewidth=0.8)
            axis.plot([], [], color=colour, label=f"{module}, true σ = {true:g}")
            for value, style in ((true, "--"), (best[name][module], ":")):
                if 1e-3 < value < math.inf:
                    axis.axhline(value, color=colour, linestyle=style, linewidth=1.2)
        axis.set(title=name, xlabel="meta-steps", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("σ (dashed: true; dotted: best for the solver)")
    axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    torch.set_num_threads(1)
    chosen = recipe_parser("linear_gaussian", __doc__).parse_args(arguments)
    experiment = load_recipe("linear_gaussian", Experiment, chosen.changes)
    family, plans = experiment.family, experiment.learners
    first = [Job(family, name, plan, 0) for name, plan in plans.items()]
    best = {job.name: found for job, found in in_processes(best_of, first)}
    bare = [replace(job, plan=job.plan.model_copy(update={"pretrain_steps": 0})) for job in first]
    seeds = [replace(job, seed=seed) for seed in range(experiment.seeds) for job in first]
    done = {(job.name, job.seed, job.plan.pretrain_steps > 0): found for job, found in in_processes(run, bare + seeds)}
    found = {name: [done[name, seed, True] for seed in range(experiment.seeds)] for name in plans}
    unprepared = {name: done[name, 0, False] for name in plans}
    print(report(experiment, found, unprepared, best_deviations(family, MAP, tasks=100), best))
    save_figure(draw(experiment, found, best), chosen.output / "linear_gaussian.png")


if __name__ == "__main__":
    sys.exit(run_command(main))
