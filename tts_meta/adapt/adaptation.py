"""Adapts a learner to a speaker's recordings, reports the progress, and returns the changes of a voice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tts_meta.adapt.voice import as_stored
from tts_meta.meta import Adapted, AdaptProgress, Budget, Domain, MetaLearner, Params, Task
from tts_meta.models.low_rank import LowRankModel, by_parameter_name, expand_factors

_SCORE_INTERVAL = 25
"""Steps between two measurements of the held-out loss."""


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
    """The result of adaptation.

    deltas: changes of the parameters by name, rounded as in the voice file. modules: names of the adapted modules.
    steps: number of inner steps. scores: see `Adaptation.run`.
    """

    deltas: dict[str, Tensor]
    modules: tuple[str, ...]
    steps: int
    scores: dict[str, Any]


@dataclass(frozen=True)
class Correction:
    """A change of one module that follows the adaptation of a learner.

    module: name of the module. apply: returns the corrected deltas for the deltas of the learner.
    """

    module: str
    apply: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Adaptation:
    """A learner, the recordings of a speaker and a budget. `run` adapts the learner.

    model: "acoustic model" or "vocoder". domain: of the model with all its parameters in full rank. correction: follows
    the adaptation.
    """

    model: str
    domain: Domain
    learner: MetaLearner
    support: ScoredTask
    held_out: ScoredTask | None
    budget: Budget
    correction: Correction | None = None

    def run(self, report: Callable[[CloneProgress], None]) -> AdaptationResult:
        """Adapt, call `report` after each inner step, and return the result.

        If sentences are held out, the scores of the result contain the held-out loss before and after adaptation
        (`held_out_before`, `held_out_after`). If adaptation can stop automatically, the scores contain the reason
        for the stop (`stopped`). A learner can add scores of its own.
        """

        def observe(progress: AdaptProgress) -> None:
            if progress.losses is not None:
                step, end = progress.step, progress.end
                scored = self._held_out_loss(progress.params) if step % _SCORE_INTERVAL == 0 or step == end else {}
                loss = float(progress.losses[0]) / self.support.size
                report(CloneProgress(step, loss, scored.get("held_out"), self.model, end))

        start = self.learner.start()
        scores: dict[str, Any] = {f"{name}_before": loss for name, loss in self._held_out_loss(start).items()}
        adapted = self.learner.adapt([self.support.task], self.budget, observe)
        deltas = stored_deltas(self.learner, start, adapted)
        modules = tuple(module.name for module in self.learner.adapted_modules)
        if self.correction is not None:
            deltas = self.correction.apply(deltas)
            modules = tuple(dict.fromkeys((*modules, self.correction.module)))
        if self.held_out is not None:
            scores["held_out_after"] = self._held_out_loss_with(deltas, self.held_out)
        scores |= {name: texts[0] for name, texts in adapted.notes.items()}
        if adapted.stopped[0]:
            scores["stopped"] = adapted.stopped[0]
        return AdaptationResult(deltas, modules, adapted.steps[0], scores)

    def _held_out_loss(self, params: Params) -> dict[str, float]:
        """Return `{"held_out": loss}` for parameters `(1, ...)`, or an empty dictionary if no sentence is held out."""
        if self.held_out is None:
            return {}
        loss = self.learner.score(params, [self.held_out.task.at(0)])
        return {"held_out": float(loss[0]) / self.held_out.size}

    @torch.no_grad()
    def _held_out_loss_with(self, deltas: Params, held_out: ScoredTask) -> float:
        """Return the held-out loss of the model with the changes of a voice."""
        values = {name: value.detach() for name, value in self.domain.model.named_parameters()}
        full = expand_factors(deltas, {name: value.shape for name, value in values.items()})
        params = {name: values[name] + delta.to(values[name]) for name, delta in full.items()}
        return float(self.domain.nll(params, held_out.task.at(0))) / held_out.size


def stored_deltas(learner: MetaLearner, start: Params, adapted: Adapted) -> dict[str, Tensor]:
    """Return the changes by name, rounded as in the voice file; low-rank changes as two factors."""
    if isinstance(learner.domain.model, LowRankModel):
        return as_stored(by_parameter_name(adapted.task(0)))
    exact = {name: value[0] for name, value in adapted.displacements.items()}
    return as_stored(exact or {name: value - start[name][0] for name, value in adapted.task(0).items()})
