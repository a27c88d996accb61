"""`GradientLearner`: the family of learners that adapt by gradient steps from φ, with or without a prior around φ.

A member of the family names its parts: the modules that adapt, their prior, the kind of the inner step sizes, and the
estimator of the meta-gradient.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.config import Section
from tts_meta.devices import to_float64
from tts_meta.errors import UsageError
from tts_meta.meta.budget import Budget
from tts_meta.meta.estimators.meta_gradients import MetaGradientEstimator, MetaParams, check_prior
from tts_meta.meta.frozen_state import FrozenState
from tts_meta.meta.learner import Adapted, MetaGradient, MetaLearner, Observer, ParameterGroup
from tts_meta.meta.learners.gradient_adaptation import adapt_by_gradient_steps
from tts_meta.meta.learners.lbfgs_adaptation import adapt_by_lbfgs
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.module_selection import select_layouts
from tts_meta.meta.parameter_layout import ModuleLike, Params, parameter_vector
from tts_meta.meta.prior import MAX_LOG_VARIANCE, MIN_LOG_VARIANCE, HyperpriorName, ShrinkagePrior, hyperprior_nll
from tts_meta.meta.seeding import combine_seeds
from tts_meta.meta.solvers.inner_loop import InnerLoop
from tts_meta.meta.solvers.inner_lr import StepSizeKind, StepSizeSchedule
from tts_meta.meta.solvers.inner_solvers import INNER_SOLVERS, Lbfgs
from tts_meta.meta.task import Task


class GradientSettings(Section):
    """Settings of the inner loop."""

    inner_solver: Literal["gd", "adam", "l-bfgs"] = "gd"
    """Solver of the inner loop. `gd` and `adam` take steps on draws from the support, and apply the prior as a proximal
    step. `l-bfgs` minimises the objective of the whole support; it is for learners with implicit gradients, and uses no
    learning rate.
    """
    inner_steps: int = Field(default=5, ge=0)
    """Inner steps during meta-training."""
    inner_lr: float = Field(default=0.01, gt=0)
    """Inner step size η; the initial value if step sizes are learned."""
    inner_lr_final_fraction: float = Field(default=1.0, ge=0, le=1)
    """η decays linearly over an inner loop to this fraction of its value. The decay reduces the noise of the steps."""


class LearnedStepSettings(GradientSettings):
    """Settings of learners that learn their inner step sizes."""

    step_lr: float = Field(default=1e-3, ge=0)
    """Outer learning rate of the inner step sizes."""


class IsotropicSettings(GradientSettings):
    """Settings of learners with one constant prior variance."""

    variance: float = Field(default=1.0, gt=0)
    """σ² of every module."""


class ShrinkageSettings(GradientSettings):
    """Settings of learners that learn one prior variance for each module."""

    variance: float = Field(default=1.0, gt=0)
    """Initial σ² of every module."""
    variance_lr: float = Field(default=0.05, ge=0)
    """Outer learning rate of log σ²."""
    min_variance: float = Field(default=0.0, ge=0)
    """Smallest σ². A module whose σ² falls to this value is in effect shared by all tasks."""
    hyperprior: HyperpriorName = "flat"
    """Prior of each σ."""
    hyperprior_scale: float = Field(default=1.0, gt=0)
    """Scale of the hyperprior."""
    prior_scale: float = Field(default=1.0, gt=0)
    """Factor of every σ² in adaptation; meta-training uses σ² without it."""


AnyGradientSettings = TypeVar("AnyGradientSettings", bound=GradientSettings)


class GradientLearner(MetaLearner[AnyGradientSettings]):
    """A learner with the meta-parameters φ (`adapted`), ψ (`shared`), log σ² and the inner step sizes.

    Each of them is a parameter if meta-training learns it, and otherwise a buffer with the value of the settings.
    `adapted (P,)` and `shared (Q,)` are vectors in the order of `layout` and `shared_layout`. `log_variances (M,)` is
    infinite without a prior.
    """

    Settings: ClassVar[type[Section]] = GradientSettings
    in_model: ClassVar[tuple[str, ...]] = ("adapted", "shared", "frozen_state.")
    prior_kind: ClassVar[Literal["none", "isotropic", "shrinkage"]] = "none"
    step_size_kind: ClassVar[StepSizeKind] = "fixed"
    learns_init: ClassVar[bool] = True
    """Whether φ of the modules that adapt is meta-learned; otherwise φ keeps its initial value."""
    inner_solvers: ClassVar[tuple[str, ...]] = ("gd", "adam")
    """Inner solvers that the estimator of the meta-gradient allows."""

    adapted: Tensor
    shared: Tensor
    log_variances: Tensor
    step_sizes: Tensor

    @abstractmethod
    def estimator(self) -> MetaGradientEstimator:
        """Return the estimator of the meta-gradient at the current fraction of meta-training, `progress`."""

    def build(self) -> None:
        settings, model = self.settings, self.domain.model
        self.layout, self.shared_layout = select_layouts(self.domain, self.adapts, self.chosen)
        self.frozen_state = FrozenState(model, self.layout.shapes.keys() | self.shared_layout.shapes.keys())
        self.step_size_schedule = StepSizeSchedule(
            self.step_size_kind, self.layout, settings.inner_lr, settings.inner_steps, settings.inner_lr_final_fraction
        )
        if settings.inner_solver not in self.inner_solvers:
            known = " or ".join(self.inner_solvers)
            raise UsageError(f"learner '{self.name}' cannot use inner_solver: {settings.inner_solver}; set {known}")
        self.solver = INNER_SOLVERS[settings.inner_solver]()
        variance = settings.variance if isinstance(settings, IsotropicSettings | ShrinkageSettings) else math.inf
        phi = parameter_vector(model, self.layout)
        self._add("adapted", phi, self.learns_init)
        self._add("shared", parameter_vector(model, self.shared_layout), True)
        # An infinite variance means that there is no prior.
        log_variance = math.log(variance) if math.isfinite(variance) else math.inf
        self._add(
            "log_variances", phi.new_full((len(self.layout.modules),), log_variance), self.prior_kind == "shrinkage"
        )
        self._add("step_sizes", self.step_size_schedule.create(phi), self.step_size_schedule.learned)
        self.likelihood = Likelihood(
            model,
            self.domain.loss,
            self.layout,
            self.shared_layout,
            self.domain.vectorised,
            self.frozen_state,
            self.domain.outputs,
            self.domain.query_loss,
            self.domain.fix_inputs,
        )
        check_prior(self.estimator(), self.prior)

    def _add(self, name: str, value: Tensor, learned: bool) -> None:
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            # A value that is a setting, and not φ, is no meta-parameter.
            self.register_buffer(name, value, persistent=name in self.in_model)

    @property
    def prior(self) -> ShrinkagePrior:
        """The prior of the adapted parameters during meta-training."""
        return ShrinkagePrior(self.layout, self.log_variances.detach())

    @property
    def prior_scale(self) -> float:
        """Factor of every σ² in adaptation."""
        return getattr(self.settings, "prior_scale", 1.0)

    @property
    def scales_lr_by_sigma(self) -> bool:
        """Whether the inner step sizes are multiplied by each module's σ."""
        return getattr(self.settings, "scale_lr_by_sigma", False)

    def inner_loop(self, seed: int) -> InnerLoop:
        """Return the inner loop of meta-training; its draws are a function of `seed` and the inner step."""
        steps = self.settings.inner_steps
        return InnerLoop(self.solver, steps, self.step_size_schedule, self.scales_lr_by_sigma, seed)

    def adapt(self, tasks: Sequence[Task], budget: Budget, observe: Observer | None = None) -> Adapted:
        if budget.stop_on_plateau and len(tasks) > 1:  # each task has a plateau of its own
            return Adapted.join([self.adapt([task], budget, observe) for task in tasks])
        with self.call_context(combine_seeds(self.seed)):
            if isinstance(self.solver, Lbfgs):
                return adapt_by_lbfgs(self, self.solver, tasks, budget, observe)
            return adapt_by_gradient_steps(self, self.solver, tasks, budget, observe)

    def meta_gradient(self, tasks: Sequence[Task]) -> MetaGradient:
        meta = MetaParams(self.adapted, self.shared, self.log_variances, self.step_sizes)
        inner = self.inner_loop(combine_seeds(self.seed, self.meta_step))
        gradient = self.estimator()(self.likelihood, meta, tasks, inner)
        learned = {name for name, _ in self.named_parameters()}
        kept = {name: value for name, value in gradient.gradient.items() if name in learned}
        return MetaGradient(kept, gradient.loss_before, gradient.loss_after, gradient.statistics, gradient.counts)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        learned = {name for name, _ in self.named_parameters()}
        groups = [ParameterGroup(tuple(name for name in ("adapted", "shared") if name in learned))]
        for name, rate in (("log_variances", "variance_lr"), ("step_sizes", "step_lr")):
            if name in learned:
                groups.append(ParameterGroup((name,), getattr(self.settings, rate), clipped=False))
        return groups

    def regulariser_gradient(self) -> Params:
        if not isinstance(settings := self.settings, ShrinkageSettings):
            return {}
        leaf = self.log_variances.detach().requires_grad_()
        nll = hyperprior_nll(leaf, settings.hyperprior, settings.hyperprior_scale)
        return {"log_variances": torch.autograd.grad(nll, leaf)[0]}

    def after_outer_step(self) -> None:
        if self.prior_kind == "shrinkage":
            smallest = getattr(self.settings, "min_variance", 0.0)
            low = max(MIN_LOG_VARIANCE, math.log(smallest)) if smallest else MIN_LOG_VARIANCE
            with torch.no_grad():
                self.log_variances.clamp_(low, MAX_LOG_VARIANCE)

    def model_parameters(self) -> Params:
        adapted, shared = self.adapted.detach(), self.shared.detach()
        return self.layout.unflatten(adapted) | self.shared_layout.unflatten(shared)

    def variances(self) -> dict[str, float]:
        """Return σ² of each adapted module by name; infinite without a prior."""
        return dict(zip(self.layout.modules, to_float64(self.log_variances.detach()).exp().tolist(), strict=True))

    def module_variances(self) -> dict[str, float]:
        return self.variances() if self.prior_kind == "shrinkage" else {}

    @property
    def adapted_modules(self) -> tuple[ModuleLike, ...]:
        return tuple(module for module in self.domain.modules if module.name in self.layout.modules)

    @property
    def changing_modules(self) -> tuple[str, ...]:
        return (*self.layout.modules, *self.shared_layout.modules)

    def start(self, tasks: int = 1) -> Params:
        return self.layout.unflatten(self.adapted.detach().expand(tasks, -1))

    def score(self, params: Params, data: Sequence) -> Tensor:
        seed = combine_seeds(self.seed)
        with self.call_context(seed), torch.no_grad():
            return self.likelihood.nll(self.layout.flatten(params), self.shared.detach(), data, seed)

    def restrict(self, modules: Sequence[str]) -> Self:
        """Return a learner with the same meta-parameters that adapts only these of its modules.

        Modules that no longer adapt keep φ, and so do shared modules. Raises UsageError for a module that this learner
        does not adapt.
        """
        unknown = sorted(set(modules) - set(self.layout.modules))
        if unknown:
            raise UsageError(f"learner '{self.name}' does not adapt '{unknown[0]}'; it adapts {self._names()}")
        kept = tuple(module for module in self.adapted_modules if module.name in modules)
        domain = replace(self.domain, modules=kept)
        part = type(self)(domain, self.settings, modules=[module.name for module in kept], seed=self.seed)
        rows = [self.layout.modules.index(name) for name in part.layout.modules]
        values = [slice(*self._span(row)) for row in rows]
        with torch.no_grad():
            part.adapted.copy_(torch.cat([self.adapted[span] for span in values]))
            part.log_variances.copy_(self.log_variances[rows])
            if self.step_size_kind == "parameter":
                part.step_sizes.copy_(torch.cat([self.step_sizes[span] for span in values]))
            else:
                part.step_sizes.copy_(
                    self.step_sizes[rows] if self.step_size_kind == "module-step" else self.step_sizes
                )
            fixed = self.frozen_state.parameters_by_name() | self.frozen_state.buffers_by_name()
            part.frozen_state.set(self.model_parameters() | fixed)
        return part

    def _span(self, row: int) -> tuple[int, int]:
        """Return the first position of a module in φ, and the position after its last."""
        sizes = self.layout.sizes
        return sum(sizes[:row]), sum(sizes[: row + 1])

    def _names(self) -> str:
        return ", ".join(self.layout.modules)
