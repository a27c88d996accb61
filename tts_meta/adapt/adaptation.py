"""The inner loop of cloning: adapts modules of one model to a speaker's recordings and reports the progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tts_meta.adapt.early_stopping import CHECK_INTERVAL, PlateauStop
from tts_meta.adapt.voice import as_stored
from tts_meta.meta import Adam, Domain, ShrinkagePrior, Task, run_inner_loop
from tts_meta.meta.inner_solvers import StepSize
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.models.low_rank import LowRankModel, by_parameter_name


@dataclass(frozen=True)
class CloneProgress:
    """The state of cloning after an inner step.

    step: number of steps done. loss: loss of the support sentences in this step. held_out: loss of the held-out
    sentences, which is measured at some steps only. Both losses are nats per frame for the acoustic model, and a
    spectral distance for the vocoder. model: "acoustic model" or "vocoder". steps: total number of steps, as far as
    it is known.
    """

    step: int
    loss: float
    held_out: float | None
    model: str = "acoustic model"
    steps: int = 0


@dataclass(frozen=True)
class ScoredTask:
    """A task and the number of frames or samples that its loss is divided by."""

    task: Task
    size: int


@dataclass(frozen=True)
class AdaptationResult:
    """The result of an inner loop.

    deltas: changes of the parameters by name, rounded as in the voice file. steps: number of steps done. scores:
    see `Adaptation.run`.
    """

    deltas: dict[str, Tensor]
    steps: int
    scores: dict[str, Any]


@dataclass(frozen=True)
class Adaptation:
    """An inner loop over the modules of one model. `run` starts the loop."""

    model: str
    domain: Domain
    support: ScoredTask
    held_out: ScoredTask | None
    steps: int
    prior: ShrinkagePrior
    learning_rate: Callable[[int], StepSize]
    plateau: PlateauStop | None = None
    """Stopping rule that can end the loop before `steps`."""

    def run(self, report: Callable[[CloneProgress], None]) -> AdaptationResult:
        """Run the loop, call `report` after each step, and return the result.

        If sentences are held out, the scores of the result contain the held-out loss before and after the loop
        (`held_out_before`, `held_out_after`). If the loop can stop automatically, the scores contain the reason
        for the stop (`stopped`).
        """
        meta, losses = parameter_vector(self.domain.model, self.domain.adapted), list[float]()

        def nll(params: Tensor, step: int) -> Tensor:
            value = self.domain.nll(params, torch.zeros(0), [self.support.task.at(step)])
            losses.append(float(value.detach()) / self.support.size)
            return value

        plateau = self.plateau

        def observe(step: int, params: Tensor) -> None:
            if plateau is not None and plateau.should_check(step):
                plateau.update(step, self._objective(params, meta))
            if step:
                steps = self.steps if plateau is None else plateau.end
                scored = self._held_out_loss(params) if step % CHECK_INTERVAL == 0 or step == steps else {}
                report(CloneProgress(step, losses[-1], scored.get("held_out"), self.model, steps))

        scores: dict[str, Any] = {f"{name}_before": loss for name, loss in self._held_out_loss(meta[None]).items()}
        finished = plateau.finished if plateau is not None else lambda done: False
        displacements, _ = run_inner_loop(
            nll, meta, self.prior, Adam(), self.learning_rate, self.steps, observe=observe, should_stop=finished
        )
        deltas, params = self._round(meta, displacements[-1][0])
        scores |= {f"{name}_after": loss for name, loss in self._held_out_loss(params[None]).items()}
        if plateau is not None:
            scores["stopped"] = plateau.reason
        return AdaptationResult(deltas, len(losses), scores)

    def _round(self, meta: Tensor, displacement: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the deltas by name, rounded as in the voice file, and the parameters `(P,)` with these deltas."""
        layout = self.domain.adapted
        if isinstance(self.domain.model, LowRankModel):
            factors = by_parameter_name(layout.unflatten(meta + displacement))
            deltas = as_stored(factors)
            names = dict(zip(layout.shapes, factors, strict=True))
            stored = layout.flatten({parameter: deltas[name] for parameter, name in names.items()})
            return deltas, stored.to(meta.device)
        deltas = as_stored(layout.unflatten(displacement))
        return deltas, meta + layout.flatten(deltas).to(meta.device)

    @torch.no_grad()
    def _objective(self, params: Tensor, meta: Tensor) -> float:
        """Return the objective of all support sentences, in nats and without dropout, for parameters `(1, P)`."""
        nll = self.domain.nll(params, torch.zeros(0), [self.support.task.support])
        return float(nll + self.prior.penalty(params - meta))

    @torch.no_grad()
    def _held_out_loss(self, params: Tensor) -> dict[str, float]:
        """Return `{"held_out": loss}` for parameters `(1, P)`, or an empty dictionary if no sentence is held out."""
        if self.held_out is None:
            return {}
        nll = self.domain.nll(params, torch.zeros(0), [self.held_out.task.at(0)])
        return {"held_out": float(nll) / self.held_out.size}


def constant_lr(learning_rate: StepSize) -> Callable[[int], StepSize]:
    """Return a schedule with the same learning rate in all steps."""
    return lambda step: learning_rate


def linear_decay(initial_lr: StepSize, steps: int) -> Callable[[int], StepSize]:
    """Return a schedule that decays linearly from `initial_lr` to zero over `steps` steps."""
    return lambda step: initial_lr * (1 - step / steps)


def sigma_lr(prior: ShrinkagePrior, prior_scale: float, fraction: float) -> Tensor:
    """Return the learning rate `(P,)` of each parameter: `fraction` of the learned σ of its module.

    The learned σ is the σ before its variance is multiplied by `prior_scale`.
    """
    return fraction * prior.standard_deviation() / prior_scale**0.5
