"""Learners that differentiate through the inner steps: MAML and its relatives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tts_meta.meta.estimators.unrolled import Unrolled
from tts_meta.meta.learners.gradient import (
    AnyGradientSettings,
    GradientLearner,
    GradientSettings,
    LearnedStepSettings,
    ShrinkageSettings,
)
from tts_meta.meta.registry import register


class _Unrolled(GradientLearner[AnyGradientSettings]):
    """A learner that differentiates through the inner steps, with second derivatives."""

    def estimator(self) -> Unrolled:
        return Unrolled()


@register("sigma-maml", source="Chen et al. 2020, section 3")
class SigmaMaml(_Unrolled[ShrinkageSettings]):
    """MAML with a learned prior variance for each module."""

    Settings = ShrinkageSettings
    prior_kind = "shrinkage"


@register("maml", source="Finn, Abbeel, Levine 2017")
class Maml(_Unrolled[GradientSettings]):
    """Learn an initialisation that adapts in few gradient steps."""


@register("fomaml", source="Finn, Abbeel, Levine 2017, section 5.2")
class FirstOrderMaml(GradientLearner[GradientSettings]):
    """MAML in which the gradients of the inner steps are constants."""

    def estimator(self) -> Unrolled:
        return Unrolled(order=1)


@register("anil", source="Raghu et al. 2020")
class Anil(Maml):
    """MAML in which only the head adapts."""

    adapts = "head"


@register("meta-sgd", source="Li et al. 2017")
class MetaSgd(_Unrolled[LearnedStepSettings]):
    """MAML with a learned step size for each parameter."""

    Settings = LearnedStepSettings
    step_size_kind = "parameter"


class AlphaMamlSettings(LearnedStepSettings):
    """Settings of Alpha-MAML."""

    hypergradient_lr: float = Field(default=0.02, ge=0, lt=1)
    """Relative change of the outer learning rate per meta-step, at a cosine of 1."""


@register("alpha-maml", source="Behl et al. 2019")
class AlphaMaml(_Unrolled[AlphaMamlSettings]):
    """MAML that updates the inner and the outer learning rate by their hypergradients."""

    Settings = AlphaMamlSettings
    step_size_kind = "scalar"

    def build(self) -> None:
        super().build()
        self.hypergradient_lr = self.settings.hypergradient_lr


class MamlPlusPlusSettings(LearnedStepSettings):
    """Settings of MAML++."""

    multi_step_loss_fraction: float = Field(default=0.3, ge=0, le=1)
    """Fraction of meta-training that anneals from the losses of all steps to that of the last step."""
    first_order_fraction: float = Field(default=0.2, ge=0, le=1)
    """Fraction of meta-training at its start that uses first-order gradients."""


@register("maml++", source="Antoniou, Edwards, Storkey 2019")
class MamlPlusPlus(GradientLearner[MamlPlusPlusSettings]):
    """MAML with losses of every step, annealed order, and a learned step size for each module and step."""

    Settings = MamlPlusPlusSettings
    step_size_kind = "module-step"

    def estimator(self) -> Unrolled:
        """Anneal the weights of the steps' losses from equal to the last step alone (section 4)."""
        settings = self.settings
        order: Literal[1, 2] = 1 if self.progress < settings.first_order_fraction else 2
        if self.progress >= settings.multi_step_loss_fraction or settings.inner_steps < 2:
            return Unrolled(order)
        others = (1 - self.progress / settings.multi_step_loss_fraction) / settings.inner_steps
        last = 1 - others * (settings.inner_steps - 1)
        return Unrolled(order, (*[others] * (settings.inner_steps - 1), last))


@register("cavia", source="Zintgraf et al. 2019")
class Cavia(Maml):
    """MAML in which only a context adapts, from a fixed initial value."""

    adapts = "context"
    learns_init = False
