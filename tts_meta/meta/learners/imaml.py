"""Learners with implicit gradients of a prior around φ: iMAML, and σ-iMAML with a learned variance for each module."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeVar

from pydantic import Field

from tts_meta.errors import UsageError
from tts_meta.meta.estimators.implicit import Implicit
from tts_meta.meta.estimators.meta_gradients import MetaGradientEstimator
from tts_meta.meta.learners.gradient import GradientLearner, GradientSettings, IsotropicSettings, ShrinkageSettings
from tts_meta.meta.parameter_layout import Params
from tts_meta.meta.registry import register
from tts_meta.meta.solvers.gauss_newton import HessianKind
from tts_meta.meta.solvers.inner_loop import InnerLoop
from tts_meta.meta.solvers.inner_solvers import INNER_SOLVERS
from tts_meta.meta.solvers.linear_solvers import LINEAR_SOLVERS
from tts_meta.meta.solvers.warm_starts import WarmStarts

CURVATURE = "outputs"
"""The capability of the domain that Gauss-Newton products need."""
WITHOUT_CURVATURE = "set hessian to 'difference'"


class ImplicitSettings(GradientSettings):
    """Settings of implicit gradients."""

    scale_lr_by_sigma: bool = False
    """Multiply η by each module's σ, so that modules that vary more take longer steps."""
    linear_solver: Literal["cg", "neumann"] = "cg"
    """Linear solver of implicit gradients."""
    cg_max_iters: int = Field(default=50, gt=0)
    """Maximum number of Hessian products per meta-step, for both linear solvers."""
    tolerance: float = Field(default=1e-3, gt=0)
    """Relative residual at which the linear solver stops."""
    hessian: HessianKind = "exact"
    """Curvature of the support loss: its Hessian by double backward (`exact`) or by differences of the gradient
    (`difference`), or its Gauss-Newton matrix, with the Jacobian by differences of the outputs (`gauss-newton`) or by
    double backward (`gauss-newton-exact`).
    """
    centred: bool = False
    """Whether implicit gradients use the centred form."""
    warm_start: bool = False
    """Start an inner loop of meta-training from the last solution of the task of the same name; only with `l-bfgs`."""


class ImamlSettings(ImplicitSettings, IsotropicSettings):
    """Settings of iMAML."""


class SigmaImamlSettings(ImplicitSettings, ShrinkageSettings):
    """Settings of σ-iMAML and σ-Reptile."""


AnyImplicitSettings = TypeVar("AnyImplicitSettings", bound=ImplicitSettings)


def implicit_estimator(settings: ImplicitSettings) -> Implicit:
    """Return the estimator of implicit gradients with these settings."""
    solver = LINEAR_SOLVERS[settings.linear_solver](settings.cg_max_iters, settings.tolerance)
    return Implicit(solver, settings.centred, settings.hessian)


class ImplicitLearner(GradientLearner[AnyImplicitSettings]):
    """A learner with implicit gradients. Raises UsageError if its Hessian needs a capability that the domain lacks."""

    statistics = Implicit.statistics
    counts = Implicit.counts
    inner_solvers = tuple(INNER_SOLVERS)
    uses_query_loss = True

    def build(self) -> None:
        if self.settings.warm_start and self.settings.inner_solver != "l-bfgs":
            raise UsageError("warm_start needs the inner solver that minimises; set inner_solver to l-bfgs")
        self.warm_starts = WarmStarts()
        if self.settings.hessian.startswith("gauss-newton"):
            self.domain.require(CURVATURE, self.name, WITHOUT_CURVATURE)
        super().build()

    def estimator(self) -> MetaGradientEstimator:
        return implicit_estimator(self.settings)

    def inner_loop(self, seed: int) -> InnerLoop:
        loop = super().inner_loop(seed)
        return replace(loop, warm_starts=self.warm_starts) if self.settings.warm_start else loop

    def exchange_task_state(self) -> None:
        self.warm_starts.exchange()

    def task_state(self) -> Params:
        return dict(self.warm_starts.displacements)

    def load_task_state(self, state: Params) -> None:
        self.warm_starts.load(state, len(self.adapted))


@register("imaml", source="Rajeswaran et al. 2019")
class Imaml(ImplicitLearner[ImamlSettings]):
    """A constant prior around φ, and implicit gradients of φ at the adapted parameters."""

    Settings = ImamlSettings
    prior_kind = "isotropic"


@register("sigma-imaml", source="Chen et al. 2020, section 4.1")
class SigmaImaml(ImplicitLearner[SigmaImamlSettings]):
    """Implicit gradients of φ and of one prior variance for each module."""

    Settings = SigmaImamlSettings
    prior_kind = "shrinkage"
