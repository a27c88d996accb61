"""`MetaTrainer`: the outer loop of meta-training, the same for every learner.

Under `torchrun`, each process builds and computes a part of the tasks, and one all-reduce per meta-step adds the
gradients. All processes must receive the same list of tasks, or of functions that build them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta.learner import MetaLearner
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.outer_optimiser import (
    TrainerSettings,
    build_outer_optimiser,
    cosine_decay,
    replace_parameters,
    scale_learning_rates,
)
from tts_meta.meta.parameter_layout import Params
from tts_meta.meta.reduction import MetaStepMetrics, TaskSums
from tts_meta.meta.seeding import combine_seeds
from tts_meta.meta.solvers.inner_loop import Diverged
from tts_meta.meta.task import Task, TaskBuilder, build_tasks, check_query

_PATIENCE = 10
"""Number of consecutive meta-steps without a finite task after which training stops."""

_STEPS_DONE, _FAILED_STEPS, _OUTER_LR_SCALE = range(3)
"""Indices into `MetaTrainer.counters`; the failed steps are consecutive."""


class MetaTrainer(nn.Module):
    """Meta-trains a learner. The state dict, with that of `optimiser`, is everything that training needs to resume.

    settings: of the outer loop. meta_steps: number of meta-steps of the whole training, for schedules. tasks_at_once:
    number of tasks differentiated together; memory grows with it. `to` and `double` move the learner, its model and the
    optimiser. Raises UsageError for a learner that has nothing to meta-train.
    """

    def __init__(
        self,
        learner: MetaLearner,
        settings: TrainerSettings | None = None,
        *,
        meta_steps: int = 1,
        tasks_at_once: int = 1,
    ) -> None:
        super().__init__()
        if not learner.trainable:
            raise UsageError(f"learner '{learner.name}' has nothing to meta-train; use it in clone or in a benchmark")
        if tasks_at_once < 1:
            raise UsageError(f"tasks_at_once must be 1 or more, not {tasks_at_once}")
        self.learner, self.settings = learner, settings or TrainerSettings()
        self.meta_steps, self.tasks_at_once = meta_steps, tasks_at_once
        with torch.inference_mode(False):
            self._build()

    def _build(self) -> None:
        """Create the optimiser and the buffers."""
        learner = self.learner
        self.optimiser = build_outer_optimiser(learner, self.settings)
        self.register_buffer("counters", torch.zeros(3, dtype=torch.float64))
        self.counters: Tensor
        self.counters[_OUTER_LR_SCALE] = 1.0
        clipped = torch.cat([parameter.detach().flatten() for parameter in self._clipped()] or [torch.zeros(0)])
        self.register_buffer("last_step", torch.zeros_like(clipped) if learner.hypergradient_lr else clipped[:0])
        self.last_step: Tensor  # the last outer step of the parameters that clipping concerns, concatenated

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the optimiser's moments too; `to`, `double` and `cuda` call this method."""
        old = list(self.learner.parameters())
        # The counters keep 64 bits, because lower precision rounds large counts. They stay on the CPU, because some
        # devices have no float64.
        counters = self._buffers.pop("counters")
        super()._apply(fn, recurse)
        self._buffers["counters"] = counters
        replace_parameters(self.optimiser, dict(zip(old, self.learner.parameters(), strict=True)))
        return self

    @property
    def steps_done(self) -> int:
        """Number of meta-steps taken."""
        return int(self.counters[_STEPS_DONE])

    @property
    def failed_steps(self) -> int:
        """Number of meta-steps at the end of training in which no task was finite."""
        return int(self.counters[_FAILED_STEPS])

    @property
    def _fraction_done(self) -> float:
        return min(1.0, self.steps_done / max(1, self.meta_steps))

    def step(self, tasks: Sequence[Task | TaskBuilder]) -> MetaStepMetrics:
        """Update the meta-parameters by one step on the mean gradient over the tasks.

        A process builds only its own tasks. A task without usable data, or with a loss or gradient that is not finite,
        is skipped and counted. If no task is left, the meta-parameters do not change. Raises TtsMetaError for a task
        without query data. Raises Diverged after ten consecutive meta-steps without a finite task.
        """
        if not tasks:
            raise TtsMetaError("no tasks; a meta-step needs at least one")
        check_query(tasks)  # in every process, so that none waits for a process that stops
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        own_tasks = build_tasks(tasks[rank::world])
        check_query(own_tasks)
        learner = self.learner
        learner.meta_step, learner.progress = self.steps_done, self._fraction_done
        with learner.call_context(combine_seeds(learner.seed, self.steps_done)):
            return self._step(own_tasks, len(tasks), world)

    def _step(self, own_tasks: Sequence[Task], count: int, world: int) -> MetaStepMetrics:
        sums = TaskSums(self.learner)
        for start in range(0, len(own_tasks), self.tasks_at_once):
            for gradient in self._finite_gradients(own_tasks[start : start + self.tasks_at_once]):
                sums.add(gradient)
        sums.reduce(world)
        self.learner.exchange_task_state()
        finite = int(sums.count)
        if finite:
            self._outer_step(sums.mean_gradient())
        self.counters[_STEPS_DONE] += 1
        self.counters[_FAILED_STEPS] = 0 if finite else self.counters[_FAILED_STEPS] + 1
        if self.failed_steps >= _PATIENCE:
            advice = "check the data, or lower inner_lr, outer_lr or variance"
            raise Diverged(f"no task was finite in {_PATIENCE} meta-steps; {advice}")
        return sums.metrics(count)

    def _finite_gradients(self, tasks: Sequence[Task]) -> list[MetaGradient]:
        """Return the gradient of all tasks or, if it is not finite, the finite gradients of the single tasks."""
        if not tasks:
            return []
        try:
            gradient = self.learner.meta_gradient(tasks)
            if gradient.finite:
                return [gradient]
        except Diverged:
            pass
        if len(tasks) == 1:
            return []
        return [gradient for task in tasks for gradient in self._finite_gradients([task])]

    def _outer_step(self, gradient: Params) -> None:
        settings, learner = self.settings, self.learner
        regulariser = learner.regulariser_gradient()
        for name, parameter in learner.named_parameters():
            parameter.grad = gradient[name] + regulariser[name] if name in regulariser else gradient[name]
        if settings.clip:
            nn.utils.clip_grad_norm_(self._clipped(), settings.clip)
        adapts_lr = learner.hypergradient_lr > 0
        if adapts_lr:
            self._update_outer_lr(torch.cat([p.grad.flatten() for p in self._clipped() if p.grad is not None]))
        decay = cosine_decay(self._fraction_done, settings.outer_lr_final_fraction)
        scale_learning_rates(self.optimiser, float(self.counters[_OUTER_LR_SCALE]) * decay)
        start = self._position() if adapts_lr else None
        self.optimiser.step()
        self.optimiser.zero_grad()
        if start is not None:
            self.last_step.copy_(self._position() - start)
        learner.after_outer_step()

    def _clipped(self) -> list[nn.Parameter]:
        """Return the parameters whose gradient counts in the norm."""
        groups = self.learner.parameter_groups()
        return [self.learner.get_parameter(name) for group in groups if group.clipped for name in group.names]

    def _position(self) -> Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self._clipped()])

    def _update_outer_lr(self, gradient: Tensor) -> None:
        """Update the outer learning rate by its normalised, multiplicative hypergradient (Baydin et al. 2018).

        The gradient along the last step shows how a longer last step would have changed the loss, for any optimiser.
        """
        cosine = torch.nn.functional.cosine_similarity(gradient, self.last_step, dim=0)
        self.counters[_OUTER_LR_SCALE] *= 1 - self.learner.hypergradient_lr * float(cosine)
