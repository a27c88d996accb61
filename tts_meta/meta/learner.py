"""`MetaLearner`: one interface to every learner. `meta_step` updates the meta-parameters; `adapt` adapts to one task.

Under `torchrun`, each process computes a part of the tasks, and one all-reduce per meta-step adds the gradients. All
processes must receive the same list of tasks, or of functions that build one task each. A process calls only the
functions of its part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta.compatibility import check_model, explain_torch_errors
from tts_meta.meta.domain import Domain, LossFunction
from tts_meta.meta.frozen_state import FrozenState
from tts_meta.meta.inner_loop import Diverged, InnerLoop, Observer, check_steps, run_inner_loop
from tts_meta.meta.inner_lr import StepSizeSchedule
from tts_meta.meta.inner_solvers import INNER_SOLVERS
from tts_meta.meta.learner_settings import LearnerSettings
from tts_meta.meta.meta_gradients import MetaGradient, MetaGradientEstimator, MetaParams, check_prior
from tts_meta.meta.module_selection import select_layouts
from tts_meta.meta.outer_optimiser import (
    build_outer_optimiser,
    cosine_decay,
    replace_parameters,
    scale_learning_rates,
)
from tts_meta.meta.parameter_layout import ModuleLike, Params, parameter_vector
from tts_meta.meta.presets import find_preset
from tts_meta.meta.prior import MAX_LOG_VARIANCE, MIN_LOG_VARIANCE, ShrinkagePrior, hyperprior_nll
from tts_meta.meta.reduction import MetaStepMetrics, TaskSums
from tts_meta.meta.seeding import combine_seeds, seeded
from tts_meta.meta.task import Task, TaskBuilder, build_tasks, check_query

_PATIENCE = 10
"""Number of consecutive meta-steps without a finite task after which training stops."""

_STEPS_DONE, _FAILED_STEPS, _OUTER_LR_SCALE = range(3)
"""Indices into `MetaLearner.progress`; the failed steps are consecutive."""


@dataclass(frozen=True)
class Adapted:
    """Result for one task. params: θ by name, only parameters that adapt. losses: before each step, `(steps,)` nats."""

    params: Params
    losses: Tensor


class MetaLearner(nn.Module):
    """A learner for any model. The state dict contains the meta-parameters and the fixed values of the model.

    The values of the given model are copied when the learner is created. The learner changes neither the model's
    parameters nor its buffers (`FrozenState`). `to` and `double` move and convert the model too.

    loss: see `domain.LossFunction`.
    partition: the modules that are meta-learned. Parameters outside the partition and parameters with
    requires_grad=False are fixed. If no parameter of the model requires a gradient, the model counts as loaded for
    inference, and all modules of the partition can adapt.
    modules: names of the modules that adapt; None takes the preset's choice.
    roles: names of the modules that presets call `head` and `context`.
    vectorised: see `Domain`. tasks_at_once: number of tasks differentiated together; memory grows with it.
    seed: the draws of the model, of the loss and of `Task.draw` are a function of `seed`, of the meta-step and of the
    inner step. The caller's generators do not change.

    Raises UsageError that names a missing role or module, or a layer that cannot be meta-learned.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        loss: LossFunction,
        partition: Sequence[ModuleLike],
        settings: LearnerSettings | None = None,
        *,
        roles: Mapping[str, Sequence[str]] | None = None,
        modules: Sequence[str] | None = None,
        meta_steps: int = 1,
        vectorised: bool = False,
        tasks_at_once: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name, self.preset, self.settings = name, find_preset(name), settings or LearnerSettings()
        if tasks_at_once < 1:
            raise UsageError(f"tasks_at_once must be 1 or more, not {tasks_at_once}")
        self.meta_steps, self.tasks_at_once, self.seed = meta_steps, tasks_at_once, seed
        with torch.inference_mode(False), torch.enable_grad():
            check_model(model, {parameter for module in partition for parameter in module.parameters})
            adapted, shared = select_layouts(model, self.preset, partition, roles or {}, modules)
            self.frozen_state = FrozenState(model, adapted.shapes.keys() | shared.shapes.keys())
            self.domain = Domain(model, loss, adapted, shared, vectorised, self.frozen_state)
            self._build(model)

    def _build(self, model: nn.Module) -> None:
        """Create the meta-parameters, their optimiser and the buffers."""
        settings, preset, layout = self.settings, self.preset, self.domain.adapted
        self.step_size_schedule = StepSizeSchedule(
            preset.step_sizes, layout, settings.inner_lr, settings.inner_steps, settings.inner_lr_final_fraction
        )
        self.solver = INNER_SOLVERS[settings.inner_solver]()
        start = math.inf if preset.prior == "none" else math.log(settings.variance)
        phi = parameter_vector(model, layout)
        self.adapted = nn.Parameter(phi)
        self.shared = nn.Parameter(parameter_vector(model, self.domain.shared))
        self.log_variances = nn.Parameter(torch.full((len(layout.modules),), start, dtype=torch.float64).to(phi))
        self.step_sizes = nn.Parameter(self.step_size_schedule.create().to(phi))
        self.optimiser = build_outer_optimiser(settings, *self._meta_parameters())
        self.register_buffer("progress", torch.zeros(3, dtype=torch.float64))
        self.progress: Tensor
        self.progress[_OUTER_LR_SCALE] = 1.0
        remembered = len(phi) + len(self.shared) if preset.learns_outer_lr else 0
        self.register_buffer("last_step", torch.zeros(remembered).to(phi))
        self.last_step: Tensor  # the last outer step of φ and of the shared parameters, concatenated
        check_prior(self._estimator(), self.prior)
        if settings.scale_lr_by_sigma and not self._estimator().needs_prior:
            raise UsageError(f"scale_lr_by_sigma needs a learner with implicit gradients; '{self.name}' has none")

    def _meta_parameters(self) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter, nn.Parameter]:
        return self.adapted, self.shared, self.log_variances, self.step_sizes

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MetaLearner:
        """Move the model and the optimiser's moments too; `to`, `double` and `cuda` call this method."""
        progress, old = self.progress, self._meta_parameters()
        super()._apply(fn, recurse)
        self.domain.model._apply(fn, recurse)
        if self.progress.device.type != "mps":  # keep 64 bits, because lower precision rounds large counts
            self.progress = progress.to(self.progress.device)
        replace_parameters(self.optimiser, dict(zip(old, self._meta_parameters(), strict=True)))
        return self

    @property
    def prior(self) -> ShrinkagePrior:
        """The prior of the adapted parameters at the current log variances."""
        return ShrinkagePrior(self.domain.adapted, self.log_variances.detach())

    @property
    def steps_done(self) -> int:
        """Number of meta-steps taken."""
        return int(self.progress[_STEPS_DONE])

    @property
    def _fraction_done(self) -> float:
        return min(1.0, self.steps_done / max(1, self.meta_steps))

    def variances(self) -> dict[str, float]:
        """Return σ² of each adapted module by name; infinite without a prior."""
        values = self.log_variances.detach().double().exp().tolist()
        return dict(zip(self.domain.adapted.modules, values, strict=True))

    def meta_params(self) -> Params:
        """Return φ and the shared parameters by name."""
        adapted, shared = self.adapted.detach(), self.shared.detach()
        return self.domain.adapted.unflatten(adapted) | self.domain.shared.unflatten(shared)

    def meta_step(self, tasks: Sequence[Task | TaskBuilder]) -> MetaStepMetrics:
        """Update the meta-parameters by one step on the mean gradient over the tasks.

        tasks: tasks, or functions that build one task. Each process builds only its own tasks. A task is skipped and
        counted if its function returns None, or its loss or gradient is not finite. If no task is finite, the
        meta-parameters do not change. Raises TtsMetaError for a task without query data. Raises Diverged after ten
        consecutive meta-steps without a finite task.
        """
        if not tasks:
            raise TtsMetaError("no tasks; a meta-step needs at least one")
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        own_tasks = build_tasks(tasks[rank::world])
        check_query(own_tasks)
        with self._call_context(combine_seeds(self.seed, self.steps_done)):
            return self._meta_step(own_tasks, len(tasks), world)

    def _meta_step(self, own_tasks: Sequence[Task], all_tasks: int, world: int) -> MetaStepMetrics:
        sums = TaskSums(self._phi())
        estimator = self._estimator()
        for start in range(0, len(own_tasks), self.tasks_at_once):
            for gradient in self._finite_gradients(estimator, own_tasks[start : start + self.tasks_at_once]):
                sums.add(gradient)
        sums.reduce(world)
        finite = int(sums.count)
        if finite:
            self._outer_step(sums.mean_gradient())
        self.progress[_STEPS_DONE] += 1
        self.progress[_FAILED_STEPS] = 0 if finite else self.progress[_FAILED_STEPS] + 1
        if self.progress[_FAILED_STEPS] >= _PATIENCE:
            advice = "check the data, or lower inner_lr, outer_lr or variance"
            raise Diverged(f"no task was finite in {_PATIENCE} meta-steps; {advice}")
        return sums.metrics(all_tasks)

    def adapt(self, support: Task, steps: int, observe: Observer | None = None) -> Adapted:
        """Adapt to one task with `steps` inner steps; `observe(step, θ (1, P))` as in `run_inner_loop`.

        Raises Diverged if the loss is no longer finite.
        """
        return self.adapt_many([support], steps, observe)[0]

    def adapt_many(self, tasks: Sequence[Task], steps: int, observe: Observer | None = None) -> list[Adapted]:
        """Adapt to each of several tasks, in parallel if `vectorised`; the results equal those of `adapt`.

        A task whose loss is no longer finite has NaN in its parameters. Raises Diverged if no task is finite, and
        UsageError for a negative number of steps.
        """
        check_steps(steps)
        if not tasks:
            return []
        shared = self.shared.detach()
        with self._call_context(combine_seeds(self.seed)):
            displacements, trace = run_inner_loop(
                lambda params, step: self.domain.step_nll(params, shared, tasks, step, self.seed),
                self.adapted.detach(),
                self.prior,
                self.solver,
                self._inner_loop(self.seed).schedule(self.step_sizes, self.prior, steps),
                steps,
                len(tasks),
                observe=observe,
            )
        theta = self.adapted.detach() + displacements[-1]
        rows = zip(theta.unbind(0), trace.losses.unbind(1), strict=True)
        return [Adapted(self.domain.adapted.unflatten(row), losses) for row, losses in rows]

    def score(self, adapted: Tensor, data: Sequence) -> Tensor:
        """Return -log p(data_t | θ_t) of T tasks, `(T,)` nats, for θ `(T, P)` as `observe` receives it."""
        seed = combine_seeds(self.seed)
        with self._call_context(seed), torch.no_grad():
            return self.domain.nll(adapted, self.shared.detach(), data, seed)

    @contextmanager
    def _call_context(self, seed: int) -> Iterator[None]:
        """Enable gradients, explain torch's errors and seed the generators; restore the generators at the end."""
        device = self.adapted.device
        with explain_torch_errors(), torch.inference_mode(False), torch.enable_grad(), seeded(seed, device):
            yield

    def _phi(self) -> MetaParams:
        return MetaParams(*self._meta_parameters())

    def _inner_loop(self, seed: int) -> InnerLoop:
        settings = self.settings
        return InnerLoop(self.solver, settings.inner_steps, self.step_size_schedule, settings.scale_lr_by_sigma, seed)

    def _estimator(self) -> MetaGradientEstimator:
        return self.preset.estimator(self.settings, self._fraction_done)

    def _finite_gradients(self, estimator: MetaGradientEstimator, tasks: Sequence[Task]) -> list[MetaGradient]:
        """Return the gradient of all tasks or, if it is not finite, the finite gradients of the single tasks."""
        if not tasks:
            return []
        inner = self._inner_loop(combine_seeds(self.seed, self.steps_done))
        try:
            gradient = estimator(self.domain, self._phi(), tasks, inner)
            if gradient.finite:
                return [gradient]
        except Diverged:
            pass
        if len(tasks) == 1:
            return []
        return [gradient for task in tasks for gradient in self._finite_gradients(estimator, [task])]

    def _outer_step(self, gradient: MetaParams) -> None:
        settings, preset = self.settings, self.preset
        self.adapted.grad = gradient.adapted if preset.learns_init else torch.zeros_like(gradient.adapted)
        self.shared.grad = gradient.shared
        self.log_variances.grad = self.step_sizes.grad = None
        if preset.prior == "shrinkage":
            leaf = self.log_variances.detach().requires_grad_()
            nll = hyperprior_nll(leaf, settings.hyperprior, settings.hyperprior_scale)
            self.log_variances.grad = gradient.log_variances + torch.autograd.grad(nll, leaf)[0]
        if self.step_size_schedule.learned:
            self.step_sizes.grad = gradient.step_sizes
        if settings.clip:
            nn.utils.clip_grad_norm_([self.adapted, self.shared], settings.clip)
        if preset.learns_outer_lr:
            self._update_outer_lr(torch.cat([self.adapted.grad, self.shared.grad]))
        decay = cosine_decay(self._fraction_done, settings.outer_lr_final_fraction)
        scale_learning_rates(self.optimiser, float(self.progress[_OUTER_LR_SCALE]) * decay)
        start = torch.cat([self.adapted, self.shared]).detach() if preset.learns_outer_lr else None
        self.optimiser.step()
        self.optimiser.zero_grad()
        if start is not None:
            self.last_step.copy_(torch.cat([self.adapted, self.shared]).detach() - start)
        if preset.prior == "shrinkage":
            with torch.no_grad():
                self.log_variances.clamp_(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def _update_outer_lr(self, gradient: Tensor) -> None:
        """Update the outer learning rate by its normalised, multiplicative hypergradient (Baydin et al. 2018).

        The gradient along the last step shows how a longer last step would have changed the loss, for any optimiser.
        """
        cosine = torch.nn.functional.cosine_similarity(gradient, self.last_step, dim=0)
        self.progress[_OUTER_LR_SCALE] *= 1 - self.settings.hypergradient_lr * float(cosine)
