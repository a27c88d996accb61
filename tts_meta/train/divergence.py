"""`DivergenceCheck`: stops meta-training whose query losses grow too far or are not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from tts_meta.errors import TtsMetaError
from tts_meta.meta import Diverged, MetaLearner, MetaTrainer, Task
from tts_meta.meta.task import TaskBuilder, build_tasks
from tts_meta.train.distributed import all_reduce_sum, rank_and_world

MAX_LOSS_GROWTH = 100.0
"""Meta-training has diverged if a query loss is more than this many times that of the first meta-step."""
_MAX_FAILED_STEPS = 3
"""It has also diverged if no task was finite in this many meta-steps at its end, or in all of its meta-steps."""


class DivergenceCheck:
    """Checks query losses against `first_loss`, that of the first finite meta-step, in nats."""

    def __init__(self) -> None:
        self.first_loss: float | None = None

    def check(self, step: int, *losses: float) -> None:
        """Raise Diverged if a mean query loss of meta-step `step` has grown too far.

        A loss of NaN, which means that no task was finite, is ignored. A loss below the first one is not growth,
        however large its absolute value: log-densities have no bound.
        """
        for loss in losses:
            if self.first_loss is None and math.isfinite(loss):
                self.first_loss = loss
            if self.first_loss is not None and loss > MAX_LOSS_GROWTH * abs(self.first_loss):
                limit = f"more than {MAX_LOSS_GROWTH:.0f} times that of the first meta-step, {self.first_loss:.4g}"
                raise _diverged(f"the query loss of meta-step {step} is {loss:.4g} nats, {limit}")

    def check_end(self, trainer: MetaTrainer, tasks: Sequence[Task | TaskBuilder]) -> None:
        """Raise Diverged if the last meta-steps were not finite or the last one moved φ too far.

        tasks: those of the last meta-step, or functions that build them, or none if the process took no meta-step.
        Each process scores its own tasks. Raises TtsMetaError if none of the tasks has usable data.
        """
        loss = _query_loss(trainer.learner, tasks) if tasks else None
        failed_steps = trainer.failed_steps
        if failed_steps and failed_steps >= min(_MAX_FAILED_STEPS, trainer.steps_done):
            raise _diverged(f"no task was finite in the last {failed_steps} meta-steps")
        if loss is not None:
            if not math.isfinite(loss):
                raise _diverged(f"the query loss is not finite after meta-step {trainer.steps_done}")
            self.check(trainer.steps_done, loss)


def _query_loss(learner: MetaLearner, tasks: Sequence[Task | TaskBuilder]) -> float:
    """Return the mean query loss of all processes' tasks at φ, in nats."""
    rank, world = rank_and_world()
    queries = [task.query for task in build_tasks(tasks[rank::world])]
    sums = torch.zeros(2, device=learner.device)
    if queries:
        sums[0] = learner.score(learner.start(len(queries)), queries).sum()
        sums[1] = len(queries)
    total, count = all_reduce_sum(sums).tolist()
    if not count:
        raise TtsMetaError("no recording of the last meta-step matches its transcript; check the manifest's texts")
    return total / count


def _diverged(reason: str) -> Diverged:
    advice = "lower outer_lr, inner_lr or variance_lr, and choose another output folder"
    return Diverged(f"meta-training diverged: {reason}; no result was written; {advice}")
