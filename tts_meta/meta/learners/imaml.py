"""Learners with implicit gradients of a prior around φ: iMAML, and σ-iMAML with a learned variance for each module."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tts_meta.config import Section
from tts_meta.meta.domain import Domain
from tts_meta.meta.estimators.implicit import Implicit
from tts_meta.meta.learners.gradient import GradientLearner, IsotropicSettings, ShrinkageSettings
from tts_meta.meta.registry import register
from tts_meta.meta.solvers.gauss_newton import HessianKind
from tts_meta.meta.solvers.linear_solvers import LINEAR_SOLVERS

CURVATURE = "outputs"
"""The capability of the domain that Gauss-Newton products need."""
WITHOUT_CURVATURE = "set hessian to 'difference'"


class ImplicitSettings(Section):
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


class ImamlSettings(ImplicitSettings, IsotropicSettings):
    """Settings of iMAML."""


class SigmaImamlSettings(ImplicitSettings, ShrinkageSettings):
    """Settings of σ-iMAML and σ-Reptile."""


def implicit_estimator(settings: ImplicitSettings) -> Implicit:
    """Return the estimator of implicit gradients with these settings."""
    solver = LINEAR_SOLVERS[settings.linear_solver](settings.cg_max_iters, settings.tolerance)
    return Implicit(solver, settings.centred, settings.hessian)


def require_curvature(domain: Domain, settings: ImplicitSettings, learner: str) -> None:
    """Raise UsageError if the settings need the capability `outputs` and the domain does not have it."""
    if settings.hessian.startswith("gauss-newton"):
        domain.require(CURVATURE, learner, WITHOUT_CURVATURE)


@register("imaml", source="Rajeswaran et al. 2019")
class Imaml(GradientLearner[ImamlSettings]):
    """A constant prior around φ, and implicit gradients of φ at the adapted parameters."""

    Settings = ImamlSettings
    prior_kind = "isotropic"
    statistics = Implicit.statistics
    counts = Implicit.counts

    def build(self) -> None:
        require_curvature(self.domain, self.settings, self.name)
        super().build()

    def estimator(self) -> Implicit:
        return implicit_estimator(self.settings)


@register("sigma-imaml", source="Chen et al. 2020, section 4.1")
class SigmaImaml(GradientLearner[SigmaImamlSettings]):
    """Implicit gradients of φ and of one prior variance for each module."""

    Settings = SigmaImamlSettings
    prior_kind = "shrinkage"
    statistics = Implicit.statistics
    counts = Implicit.counts

    def build(self) -> None:
        require_curvature(self.domain, self.settings, self.name)
        super().build()

    def estimator(self) -> Implicit:
        return implicit_estimator(self.settings)
