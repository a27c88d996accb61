"""`SigmaRun`: σ of every module along a run of meta-training, and the path that σ takes if the data say nothing."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.score_files import read_lines, write_lines
from tts_meta.meta.outer_optimiser import cosine_decay
from tts_meta.meta.prior import HyperpriorName, hyperprior_nll

EVERY = 5
"""Meta-steps between two stored values of σ."""
LAST = 30
"""Meta-steps at the end of a run whose drift and statistics are shown."""
STATISTICS = ("stationarity", "residual")
"""Logged statistics: gradient of the inner objective at its solution, and residual of the linear system."""


@dataclass(frozen=True)
class SigmaRun:
    """σ of the modules of one run at some of its meta-steps, and the settings that its path depends on.

    start: σ of every module before the first meta-step. steps: the stored meta-steps, from 0. sigmas: σ of each module
    at these steps. planned_steps: length of the schedule. beta2: of Adam. smallest: the smallest σ that the run allows,
    or 0. statistics: means of `STATISTICS` over the last
    `LAST` meta-steps; None if the run has no log.
    """

    start: float
    seed: int
    steps: list[int]
    planned_steps: int
    variance_lr: float
    final_fraction: float
    hyperprior: HyperpriorName
    hyperprior_scale: float
    beta2: float
    smallest: float
    statistics: dict[str, float | None]
    sigmas: dict[str, list[float]]

    @classmethod
    def read(cls, folder: Path) -> SigmaRun:
        """Read the folder of a run of `meta-train`. Raises TtsMetaError if the folder has no checkpoint with σ."""
        config, state = (_read_json(folder / name) for name in ("config.json", "training/state.json"))
        history, settings = state.get("sigmas"), config.get("settings", {})
        if not history or "variance" not in settings:
            raise TtsMetaError(f"{folder}: the run has no σ; give the folder of a run that learns σ")
        done = len(next(iter(history.values())))
        steps = [step for step in range(0, done, EVERY) if step != done] + [done]
        start = settings["variance"] ** 0.5
        paths = {name: [start, *values] for name, values in history.items()}
        trainer = config["trainer"]
        return cls(
            _rounded(start),
            config["seed"],
            steps,
            config["meta_steps"],
            settings.get("variance_lr", 0.05),
            trainer["outer_lr_final_fraction"],
            settings.get("hyperprior", "flat"),
            settings.get("hyperprior_scale", 1.0),
            trainer.get("outer_beta2", 0.999),
            settings.get("min_variance", 0.0) ** 0.5,
            _last_statistics(folder, done),
            {name: [_rounded(values[step]) for step in steps] for name, values in paths.items()},
        )

    @property
    def done(self) -> int:
        """Number of meta-steps of the run."""
        return self.steps[-1]

    def final(self, module: str) -> float:
        """σ of a module at the last meta-step."""
        return self.sigmas[module][-1]

    def drift(self, module: str) -> float:
        """σ at the last meta-step divided by σ at least `LAST` meta-steps before it."""
        before = max((place for place, step in enumerate(self.steps) if step <= self.done - LAST), default=0)
        return self.final(module) / self.sigmas[module][before]

    def without_data(self) -> list[float]:
        """σ at `steps` of a module whose likelihood does not depend on σ: Adam on the hyperprior alone."""
        log_variance = torch.tensor(2 * math.log(self.start), dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.Adam([log_variance], lr=self.variance_lr, betas=(0.9, self.beta2))
        path = [self.start]
        for step in range(self.done):
            optimiser.zero_grad()
            hyperprior_nll(log_variance[None], self.hyperprior, self.hyperprior_scale).backward()
            decay = cosine_decay(min(1.0, step / self.planned_steps), self.final_fraction)
            optimiser.param_groups[0]["lr"] = self.variance_lr * decay
            optimiser.step()
            if self.smallest:
                log_variance.data.clamp_(min=2 * math.log(self.smallest))
            path.append(float(torch.exp(0.5 * log_variance.detach())))
        return [path[step] for step in self.steps]


def ratio(runs: Sequence[SigmaRun], module: str) -> float:
    """The largest final σ of a module, divided by its smallest."""
    values = [run.final(module) for run in runs]
    return max(values) / min(values)


def write_runs(path: Path, runs: Sequence[SigmaRun]) -> None:
    """Write one JSON line per run."""
    write_lines(path, map(asdict, runs))


def read_runs(path: Path) -> list[SigmaRun]:
    """Read the file of `write_runs`. Raises TtsMetaError with the file and line."""
    advice = "a run; write the file with recipes.discovery.convergence RUN"
    return read_lines(path, lambda record: SigmaRun(**record), "runs", advice)


def common_modules(runs: Sequence[SigmaRun]) -> list[str]:
    """The modules of the runs. Raises TtsMetaError for runs with different modules."""
    modules = list(runs[0].sigmas)
    for run in runs:
        if set(run.sigmas) != set(modules):
            raise TtsMetaError(f"the run from σ = {run.start:g} has other modules; give runs of the same base")
    return modules


def _rounded(value: float) -> float:
    """The value with three significant digits."""
    return float(f"{value:.3g}")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TtsMetaError(f"{path}: no such file; give folders of runs of tts-meta meta-train") from error


def _last_statistics(folder: Path, done: int) -> dict[str, float | None]:
    """The means of `STATISTICS` over the last `LAST` meta-steps, from the log for TensorBoard; None without a log."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values: dict[str, dict[int, float]] = {name: {} for name in STATISTICS}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        for name, by_step in values.items():
            if f"meta/{name}" in events.Tags()["scalars"]:
                by_step.update({event.step: event.value for event in events.Scalars(f"meta/{name}")})
    chosen = {
        name: [value for step, value in by_step.items() if done - LAST < step <= done]
        for name, by_step in values.items()
    }
    return {name: _rounded(statistics.mean(found)) if found else None for name, found in chosen.items()}
