"""Which learners find the one module that varies? `python -m recipes.one_module [--output DIR]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from recipes.bench import in_processes, load_recipe, markdown, recipe_parser, save_figure, spread
from recipes.one_module.experiment import Experiment, Found, Job, run
from tts_meta.cli import run_command

Results = Mapping[str, Mapping[str, Found]]
"""By family, then by learner."""

TRUTH = "(truth)"


def share_of(found: Found, module: str) -> Tensor:
    """The module's part of what moves in each task, `(T,)`."""
    return found.shares()[:, found.modules.index(module)]


def is_right(found: Found, module: str) -> bool:
    """Whether half of what moves, at least, is the module that varies; where σ is learned, its σ is the largest too."""
    largest = max(found.deviations, key=found.deviations.__getitem__) if found.deviations else module
    return largest == module and float(share_of(found, module).mean()) >= 0.5


def ratio(found: Found, module: str) -> str:
    """σ of the module over the largest of the others."""
    if not found.deviations:
        return "-"
    return f"{found.deviations[module] / max(v for name, v in found.deviations.items() if name != module):.1f}"


def interval(values: Tensor, digits: int) -> str:
    """Mean and 68 % interval over tasks; a value that is not finite is said to be."""
    if not values.isfinite().all():
        return "not finite"
    return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*spread(values), d=digits)


def family_table(module: str, found: Mapping[str, Found]) -> str:
    """What moves, and σ, by learner."""
    names = next(iter(found.values())).modules
    rows = []
    for learner, one in found.items():
        shares = [
            interval(share_of(one, name), 2) if name == module else f"{share_of(one, name).mean():.2f}"
            for name in names
        ]
        sigmas = [f"{one.deviations[name]:.3f}" if one.deviations else "-" for name in names]
        rows.append([learner, *shares, *sigmas, ratio(one, module), "yes" if is_right(one, module) else "no"])
    head = ["", *(f"{name} moves" for name in names), *(f"σ {name}" for name in names), "σ ratio", "right"]
    return markdown(head, rows)


def loss_table(experiment: Experiment, results: Results) -> str:
    """Query losses of unseen tasks."""
    learners, last = [*experiment.learners, TRUTH], max(experiment.test_steps)
    head = [""]
    for where in results:
        head += [f"{where}: before", "own steps", f"{last:,} steps"]
    rows = []
    for learner in learners:
        row = [learner]
        for found in results.values():
            one = found[learner]
            own = experiment.learners[learner].settings.inner_steps if learner in experiment.learners else last
            row += [interval(one.losses[one.steps.index(step)], 2) for step in (0, own, last)]
        rows.append(row)
    return markdown(head, rows)


def verdict_table(experiment: Experiment, results: Results) -> str:
    """Where each learner's largest σ or move is the right one."""
    rows = []
    for learner in experiment.learners:
        right = [is_right(results[w][learner], family.varies) for w, family in experiment.families.items()]
        rows.append([learner, *("yes" if value else "no" for value in (*right, all(right)))])
    return markdown(["right where", *experiment.families, "all"], rows)


def report(experiment: Experiment, results: Results) -> str:
    """The tables."""
    parts = []
    for where, family in experiment.families.items():
        parts += [
            f"{where}, by normal draws of deviation {family.deviation:g}:\n",
            family_table(family.varies, results[where]),
        ]
    parts += [f"Query loss, nats, {experiment.test_tasks:,} unseen tasks:\n", loss_table(experiment, results)]
    return "\n".join([*parts, verdict_table(experiment, results)])


def draw(experiment: Experiment, results: Results) -> Figure:
    """Each module's part of what moves, a bar for each learner."""
    figure = Figure(figsize=(5 * len(results), 0.28 * len(experiment.learners) + 1.6))
    axes = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for axis, (where, found) in zip(axes, results.items(), strict=True):
        learners, right = list(experiment.learners), experiment.families[where].varies
        left = torch.zeros(len(learners))
        for index, name in enumerate(next(iter(found.values())).modules):
            widths = torch.stack([share_of(found[learner], name).mean() for learner in learners])
            axis.barh(
                learners,
                widths.numpy(),
                left=left.numpy(),
                color=f"C{index}",
                alpha=1.0 if name == right else 0.35,
                label=name,
            )
            left = left + widths
        axis.set(title=f"{where} (solid)", xlabel="part of the mean square displacement", xlim=(0, 1))
        axis.invert_yaxis() if axis is axes[0] else None
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    torch.set_num_threads(1)
    chosen = recipe_parser("one_module", __doc__).parse_args(arguments)
    experiment = load_recipe("one_module", Experiment, chosen.changes)
    plans = [*experiment.learners.items(), (TRUTH, None)]
    jobs = [
        Job(where, family, name, plan, experiment.seed, experiment.test_tasks, experiment.test_steps)
        for where, family in experiment.families.items()
        for name, plan in plans
    ]
    done = {(job.where, job.name): found for job, found in in_processes(run, jobs)}
    results = {where: {name: done[where, name] for name, _ in plans} for where in experiment.families}
    print(report(experiment, results))
    save_figure(draw(experiment, results), chosen.output / "one_module.png")


if __name__ == "__main__":
    sys.exit(run_command(main))
