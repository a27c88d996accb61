"""Measures what each module contributes to voices under the σ of runs, and what is lost without unimportant modules.

Command: python -m recipes.discovery.effects recipes/discovery/meta_train.yaml RUN RUN RUN

Each speaker is adapted to under the σ of each run. The change of one module is then undone, and all others are kept.
The rise of the NLL of unseen sentences is the effect of the module. A module matters if its effect is at least 0.1 % of
the gain of the whole adaptation in any run. In the end, each speaker is adapted to again, only by the modules that
matter. The command writes `effects.jsonl`, one line per run. Effects in this file of the same σ and speakers are not
measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from recipes.discovery.episodes import SPEAKERS, Experiment, displacement, query_nll
from recipes.discovery.sigma_paths import SigmaRun, common_modules
from tts_meta.cli import run_command
from tts_meta.cli.console import print_message
from tts_meta.config import load_config
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.confidence import Interval, mean_interval
from tts_meta.evaluate.score_files import read_lines, write_lines
from tts_meta.meta import GradientLearner, Task
from tts_meta.tensors import TensorFile
from tts_meta.train.meta_train import MetaTrainConfig

MATTERS = 0.001
"""A module matters if undoing its change loses at least this fraction of the gain of adaptation in any run."""


@dataclass(frozen=True)
class Effects:
    """NLL per frame of unseen sentences of each speaker under the σ of one run, in nats.

    sigmas: hash of the final σ of the run. before, after: of the base and of the voice. undone: of the voice without
    the change of a module. kept: of a voice that adapts only the modules that matter. spread: for each module, the 95 %
    interval of the root mean square of the change over the speakers of meta-training, as factors of its estimate.
    """

    start: float
    sigmas: str
    speakers: list[str]
    before: list[float]
    after: list[float]
    undone: dict[str, list[float]]
    kept: list[float]
    spread: dict[str, list[float]]

    @property
    def gain(self) -> Interval:
        """The mean reduction of NLL by adaptation."""
        return mean_interval(np.subtract(self.before, self.after), self.speakers)

    def share(self, module: str) -> float:
        """The effect of a module as a fraction of the gain; negative if the voice is better without its change."""
        return float(np.mean(np.subtract(self.undone[module], self.after))) / self.gain.mean

    @property
    def cost_of_zero(self) -> Interval:
        """The mean rise of NLL if only the modules that matter adapt."""
        return mean_interval(np.subtract(self.kept, self.after), self.speakers)


def matters(effects: Sequence[Effects], module: str) -> bool:
    """Whether a module matters in any run."""
    return any(run.share(module) >= MATTERS for run in effects)


def read_effects(path: Path) -> list[Effects]:
    """Read the file of this program. Raises TtsMetaError with the file and line."""
    advice = "effects of a run; write the file with recipes.discovery.effects"
    return read_lines(path, lambda record: Effects(**record), "effects", advice)


def measure(experiment: Experiment, run: SigmaRun, folder: Path, tasks: Sequence[Task]) -> Effects:
    """Measure the voices of a run and the effects of its modules; `kept` is empty."""
    learner = experiment.with_sigmas({name: run.final(name) for name in run.sigmas})
    effects = Effects(run.start, hash_of_sigmas(run), [], [], [], {name: [] for name in learner.layout.modules}, [], {})
    effects.spread.update(spread_over_speakers(learner, folder))
    for task in tasks:
        delta = displacement(learner, task)
        effects.speakers.append(task.name)
        effects.before.append(_rounded(query_nll(learner, task, torch.zeros_like(delta))))
        effects.after.append(_rounded(query_nll(learner, task, delta)))
        for name, values in effects.undone.items():
            without = learner.layout.expand_modules(_indicator(learner, name)).bool()
            values.append(_rounded(query_nll(learner, task, delta.masked_fill(without, 0.0))))
        print_message(f"σ from {run.start:g}, {task.name}: {effects.before[-1]:.2f} -> {effects.after[-1]:.2f} nats")
    return effects


def spread_over_speakers(learner: GradientLearner, folder: Path) -> dict[str, list[float]]:
    """Return the interval of the change of each module over the speakers whose solutions a run keeps.

    The unit of the bootstrap is a speaker with its episodes. Returns an empty result for a run without warm starts.
    """
    tensors = TensorFile.open(folder / "training" / "tensors.safetensors", "continue the run").read()
    solutions = {name.removeprefix("task."): value for name, value in tensors.items() if name.startswith("task.")}
    if not solutions:
        return {}
    speakers = [name.partition("/")[0] for name in solutions]
    squares = learner.layout.sum_modules(torch.stack(list(solutions.values())).square())
    spread = {}
    for row, module in enumerate(learner.layout.modules):
        interval = mean_interval(squares[:, row].double().numpy(), speakers)
        scale = interval.mean or 1.0
        spread[module] = [round((bound / scale) ** 0.5, 3) for bound in (interval.low, interval.high)]
    return spread


def hash_of_sigmas(run: SigmaRun) -> str:
    """Return 16 hexadecimal digits of the hash of the final σ of a run."""
    final = json.dumps({name: run.final(name) for name in run.sigmas}, sort_keys=True)
    return hashlib.sha256(final.encode()).hexdigest()[:16]


def measure_all(
    experiment: Experiment, runs: Mapping[Path, SigmaRun], tasks: Sequence[Task], path: Path
) -> dict[Path, Effects]:
    """Measure the runs whose effects are not in the file, and write the file after each of them."""
    known = {(run.sigmas, tuple(run.speakers)): run for run in read_effects(path)} if path.exists() else {}
    measured = dict[Path, Effects]()
    for folder, run in runs.items():
        found = known.get((hash_of_sigmas(run), tuple(task.name for task in tasks)))
        measured[folder] = found or measure(experiment, run, folder, tasks)
        measured[folder].kept.clear()
        write_lines(path, map(asdict, measured.values()))
    return measured


def _indicator(learner: GradientLearner, module: str) -> torch.Tensor:
    """1 for the module, and 0 for all others, `(M,)`."""
    return torch.tensor([float(name == module) for name in learner.layout.modules])


def _rounded(value: float) -> float:
    return round(value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of meta-training")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of this recipe, one for each start of σ")
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS, help="speakers to measure on")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of effects.jsonl")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of the recipe, KEY=VALUE"
    )
    arguments = parser.parse_args()
    experiment = Experiment.of(load_config(arguments.recipe, MetaTrainConfig, arguments.changes))
    runs = {folder: SigmaRun.read(folder) for folder in arguments.runs}
    modules, tasks = common_modules(list(runs.values())), experiment.tasks(arguments.speakers)
    path = arguments.output / "effects.jsonl"
    measured = measure_all(experiment, runs, tasks, path)
    kept = [name for name in modules if matters(list(measured.values()), name)]
    if not kept:
        raise TtsMetaError("no module has an effect; check that the recipe and the runs belong together")
    for folder, run in runs.items():
        learner = experiment.with_sigmas({name: run.final(name) for name in modules}, kept)
        for task in tasks:
            measured[folder].kept.append(_rounded(query_nll(learner, task, displacement(learner, task))))
    write_lines(path, map(asdict, measured.values()))
    print(f"{len(kept)} of {len(modules)} modules matter")
    for run in measured.values():
        print(
            f"σ from {run.start:g}: gain {run.gain.shown(2)}, cost of zero {run.cost_of_zero.shown(3)} nats per frame"
        )


if __name__ == "__main__":
    sys.exit(run_command(main))
