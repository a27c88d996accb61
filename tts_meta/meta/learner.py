"""`MetaLearner`: one interface to every learner. `meta_step` moves the meta-parameters, `adapt` solves a task.

Under `torchrun` each process takes its part of the tasks, and one all-reduce a meta-step adds their gradients: all
processes must be given the same tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tts_meta.errors import UsageError
from tts_meta.meta.domain import LossFunction, Problem, Task, check_query
from tts_meta.meta.held import Held
from tts_meta.meta.inner import SOLVERS, Diverged, check_steps, solve
from tts_meta.meta.inner_lr import StepSizes
from tts_meta.meta.learners import LearnerSettings, Preset, preset_of
from tts_meta.meta.meta_gradients import InnerLoop, MetaGradient, MetaGradientEstimator, MetaParams, check_rule
from tts_meta.meta.parameters import Layout, ModuleLike, Params, match_modules, parameters_of, without_frozen
from tts_meta.meta.prior import MAX_LOG_VARIANCE, MIN_LOG_VARIANCE, ShrinkagePrior, hyperprior_nll
from tts_meta.meta.reduction import MetaStepMetrics, TaskSums
from tts_meta.meta.refusals import check_model, explained
from tts_meta.meta.seeding import combine, seeded

_PATIENCE = 10
"""Meta-steps in a row without one finite task after which training stops."""


@dataclass(frozen=True)
class Adapted:
    """θ of one task by parameter name (what does not adapt is not there), and the loss before each step, nats."""

    params: Params
    losses: Tensor


class MetaLearner(nn.Module):
    """A learner over some model. Its state dict holds all that it computes with: meta-parameters and fixed values.

    The values of the model given are copied at the start, and never changed; its buffers neither (`Held`). `to` and
    `double` move the model with the learner, as they move any part of a module. loss: as `problem.LossFunction`.
    partition: the modules that are meta-learned; parameters outside are fixed, and so are those that have
    requires_grad=False while others have not: a model of which none requires a gradient counts as loaded for inference,
    and adapts. modules: names of those that adapt, in place of what the preset says. roles: names of the modules that
    presets call `head` and `context`. vectorised: see `Problem`. tasks_at_once: tasks differentiated together, what
    memory grows with. seed: of what the model, the loss and `Task.draw` draw, together with the meta-step and the inner
    step; the caller's generators are left as they are. Raises UsageError naming a role or a module that is missing, or
    a layer that cannot be meta-learned.
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
        self.name, self.preset, self.settings = name, preset_of(name), settings or LearnerSettings()
        if tasks_at_once < 1:
            raise UsageError(f"tasks_at_once must be 1 or more, not {tasks_at_once}")
        self.meta_steps, self.tasks_at_once, self.seed = meta_steps, tasks_at_once, seed
        with torch.inference_mode(False), torch.enable_grad():
            self._build(model, loss, partition, roles or {}, modules, vectorised)

    def _build(
        self,
        model: nn.Module,
        loss: LossFunction,
        partition: Sequence[ModuleLike],
        roles: Mapping[str, Sequence[str]],
        modules: Sequence[str] | None,
        vectorised: bool,
    ) -> None:
        check_model(model, {name for module in partition for name in module.parameters})
        chosen = _choose(self.preset, partition, roles, modules)
        Layout.of(model, partition)  # a parameter in two modules is an error wherever it is
        names = {module.name for module in chosen}
        trained = without_frozen(model, partition)
        lost = names - {module.name for module in trained}
        if lost and (modules is not None or self.preset.adapts != "all" or lost == names):
            raise UsageError(f"module '{sorted(lost)[0]}' has requires_grad=False; set it to True, or adapt others")
        layout = Layout.of(model, [module for module in trained if module.name in names])
        shared = Layout.of(model, [module for module in trained if module.name not in names])
        self.held = Held(model, layout.shapes.keys() | shared.shapes.keys())
        self.problem = Problem(model, loss, layout, shared, vectorised, self.held)
        inner = self.settings
        self.rates = StepSizes(
            self.preset.step_sizes, layout, inner.inner_lr, inner.inner_steps, inner.inner_lr_final_fraction
        )
        self.solver = SOLVERS[self.settings.inner_solver]()
        start = math.inf if self.preset.prior == "none" else math.log(self.settings.variance)
        adapted = parameters_of(model, layout)
        self.adapted = nn.Parameter(adapted)
        self.shared = nn.Parameter(parameters_of(model, self.problem.shared))
        self.log_variances = nn.Parameter(torch.full((len(layout.modules),), start, dtype=torch.float64).to(adapted))
        self.step_sizes = nn.Parameter(self.rates.create().to(adapted))
        self.optimiser = self._build_optimiser()
        self.register_buffer("progress", torch.zeros(3, dtype=torch.float64))
        self.progress: Tensor  # meta-steps done, failures in a row, scale of the outer step size
        self.progress[2] = 1.0
        remembered = len(adapted) + len(self.shared) if self.preset.learns_outer_rate else 0
        self.register_buffer("last_step", torch.zeros(remembered).to(adapted))
        self.last_step: Tensor  # of φ and the shared parameters together
        check_rule(self._rule(), self.prior)
        if self.settings.scale_lr_by_sigma and not self._rule().needs_prior:
            raise UsageError(f"inner_in_sigmas is for learners with implicit gradients, not for '{self.name}'")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MetaLearner:
        """What `to`, `double` and `cuda` call: moves the model and the optimiser's moments too."""
        progress, old = self.progress, [self.adapted, self.shared, self.log_variances, self.step_sizes]
        super()._apply(fn, recurse)
        self.problem.model._apply(fn, recurse)
        if self.progress.device.type != "mps":  # in lower precision than 64 bits, large counts are rounded
            self.progress = progress.to(self.progress.device)
        # Some moves replace parameters, which the optimiser then does not know.
        new = dict(zip(old, (self.adapted, self.shared, self.log_variances, self.step_sizes), strict=True))
        for group in self.optimiser.param_groups:
            group["params"] = [new[parameter] for parameter in group["params"]]
        memories = [(value, self.optimiser.state[key]) for key, value in new.items() if key in self.optimiser.state]
        self.optimiser.state.clear()
        for parameter, memory in memories:
            self.optimiser.state[parameter] = {k: v if k == "step" else v.to(parameter) for k, v in memory.items()}
        return self

    @property
    def prior(self) -> ShrinkagePrior:
        """The prior of what adapts, at the present log variances."""
        return ShrinkagePrior(self.problem.adapted, self.log_variances.detach())

    @property
    def steps_done(self) -> int:
        """Meta-steps taken."""
        return int(self.progress[0])

    def variances(self) -> dict[str, float]:
        """σ² of each adapted module; infinite where there is no prior."""
        values = self.log_variances.detach().double().exp().tolist()
        return dict(zip(self.problem.adapted.modules, values, strict=True))

    def meta_params(self) -> Params:
        """φ and the shared parameters by name."""
        adapted, shared = self.adapted.detach(), self.shared.detach()
        return self.problem.adapted.unflatten(adapted) | self.problem.shared.unflatten(shared)

    def meta_step(self, tasks: Sequence[Task]) -> MetaStepMetrics:
        """One step of the meta-parameters on the mean gradient over the tasks.

        A task whose losses or gradient are not finite is skipped and counted; where all are, nothing moves. Raises
        TtsMetaError for a task without query data, and Diverged after ten such meta-steps in a row.
        """
        check_query(tasks)
        with self._calling(combine(self.seed, self.steps_done)):
            return self._meta_step(tasks)

    def _meta_step(self, tasks: Sequence[Task]) -> MetaStepMetrics:
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        mine = tasks[rank::world]
        totals = TaskSums(self._phi())
        rule = self._rule()
        for start in range(0, len(mine), self.tasks_at_once):
            for part in self._finite_parts(rule, mine[start : start + self.tasks_at_once]):
                totals.add(part)
        totals.reduce(world)
        counted = int(totals.count)
        if counted:
            self._move(totals)
        self.progress[0] += 1
        self.progress[1] = 0 if counted else self.progress[1] + 1
        if self.progress[1] >= _PATIENCE:
            advice = "check the data, or lower inner_rate, outer_rate or variance"
            raise Diverged(f"no task was finite in {_PATIENCE} meta-steps; {advice}")
        return totals.result(len(tasks))

    def adapt(self, support: Task, steps: int, observe: Callable[[int, Tensor], None] | None = None) -> Adapted:
        """Solve one task with `steps` inner steps; `observe(step, θ (1, P))` as in `solve`.

        Raises Diverged where the loss stops being finite.
        """
        return self.adapt_many([support], steps, observe)[0]

    def adapt_many(
        self, tasks: Sequence[Task], steps: int, observe: Callable[[int, Tensor], None] | None = None
    ) -> list[Adapted]:
        """Solve several tasks, side by side where `vectorised`; the same as one by one.

        A task whose loss stops being finite has NaN in its parameters; raises Diverged where all have, and UsageError
        for a number of steps below 0.
        """
        check_steps(steps)
        if not tasks:
            return []
        shared = self.shared.detach()
        with self._calling(combine(self.seed)):
            kept, trace = solve(
                lambda params, step: self.problem.step_nll(params, shared, tasks, step, self.seed),
                self.adapted.detach(),
                self.prior,
                self.solver,
                self._inner(self.seed).schedule(self.step_sizes, self.prior, steps),
                steps,
                len(tasks),
                observe=observe,
            )
        theta = self.adapted.detach() + kept[-1]
        rows = zip(theta.unbind(0), trace.losses.unbind(1), strict=True)
        return [Adapted(self.problem.adapted.unflatten(row), losses) for row, losses in rows]

    def score(self, adapted: Tensor, data: Sequence) -> Tensor:
        """-log p(data_t | θ_t) for θ `(T, P)`, as `observe` sees it: `(T,)` nats."""
        own = combine(self.seed)
        with self._calling(own), torch.no_grad():
            return self.problem.nll(adapted, self.shared.detach(), data, own)

    @contextmanager
    def _calling(self, seed: int) -> Iterator[None]:
        """Around every call: gradients on, errors of torch explained, and the caller's generators left as they are."""
        with explained(), torch.inference_mode(False), torch.enable_grad(), seeded(seed, self.adapted.device):
            yield

    def _phi(self) -> MetaParams:
        return MetaParams(self.adapted, self.shared, self.log_variances, self.step_sizes)

    def _inner(self, seed: int) -> InnerLoop:
        return InnerLoop(self.solver, self.settings.inner_steps, self.rates, self.settings.scale_lr_by_sigma, seed)

    def _rule(self) -> MetaGradientEstimator:
        return self.preset.rule(self.settings, min(1.0, self.steps_done / max(1, self.meta_steps)))

    def _finite_parts(self, rule: MetaGradientEstimator, tasks: Sequence[Task]) -> list[MetaGradient]:
        """Gradients of tasks side by side or, where one of them is not finite, of those that are, one by one."""
        if not tasks:
            return []
        inner = self._inner(combine(self.seed, self.steps_done))
        try:
            found = rule(self.problem, self._phi(), tasks, inner)
            if found.finite:
                return [found]
        except Diverged:
            pass
        return [part for task in tasks for part in self._finite_parts(rule, [task])] if len(tasks) > 1 else []

    def _build_optimiser(self) -> torch.optim.Optimizer:
        s = self.settings
        groups = [
            {"params": [self.adapted, self.shared], "lr": s.outer_lr},
            {"params": [self.log_variances], "lr": s.variance_lr},
            {"params": [self.step_sizes], "lr": s.step_lr},
        ]
        for group in groups:
            group["initial"] = group["lr"]
        return torch.optim.Adam(groups) if s.outer_solver == "adam" else torch.optim.SGD(groups)

    def _move(self, totals: TaskSums) -> None:
        gradient = totals.mean()
        moves_centre = self.preset.learns_centre
        self.adapted.grad = gradient.adapted if moves_centre else torch.zeros_like(gradient.adapted)
        self.shared.grad = gradient.shared
        self.log_variances.grad = self.step_sizes.grad = None
        if self.preset.prior == "shrinkage":
            leaf = self.log_variances.detach().requires_grad_()
            nll = hyperprior_nll(leaf, self.settings.hyperprior, self.settings.hyperprior_scale)
            self.log_variances.grad = gradient.log_variances + torch.autograd.grad(nll, leaf)[0]
        if self.rates.learned:
            self.step_sizes.grad = gradient.step_sizes
        if self.settings.clip:
            nn.utils.clip_grad_norm_([self.adapted, self.shared], self.settings.clip)
        if self.preset.learns_outer_rate:
            self._move_outer_rate(torch.cat([self.adapted.grad, self.shared.grad]))
        part = min(1.0, self.steps_done / max(1, self.meta_steps))
        floor = self.settings.final_rate
        scale = float(self.progress[2]) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * part)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial"] * scale
        start = torch.cat([self.adapted, self.shared]).detach() if self.preset.learns_outer_rate else None
        self.optimiser.step()
        self.optimiser.zero_grad()
        if start is not None:
            self.last_step.copy_(torch.cat([self.adapted, self.shared]).detach() - start)
        if self.preset.prior == "shrinkage":
            with torch.no_grad():
                self.log_variances.clamp_(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def _move_outer_rate(self, gradient: Tensor) -> None:
        """Hypergradient of the outer step size, in its normalised, multiplicative form (Baydin et al. 2018).

        A longer last step would have changed the loss by the gradient along it, whichever optimiser took it.
        """
        cosine = torch.nn.functional.cosine_similarity(gradient, self.last_step, dim=0)
        self.progress[2] *= 1 - self.settings.hyper_rate * float(cosine)


def _choose(
    preset: Preset,
    partition: Sequence[ModuleLike],
    roles: Mapping[str, Sequence[str]],
    modules: Sequence[str] | None,
) -> list[ModuleLike]:
    """The modules that adapt."""
    if modules is None and preset.adapts != "all":
        modules = roles.get(preset.adapts)
        if not modules:
            raise UsageError(f"this learner adapts the {preset.adapts} alone; name its modules by roles")
    chosen = list(partition) if modules is None else match_modules(partition, modules)
    if not chosen:
        raise UsageError("nothing adapts; name at least one module")
    return chosen
