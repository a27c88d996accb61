"""Reptile, and σ-Reptile with a learned prior variance for each module."""

from __future__ import annotations

from tts_meta.meta.estimators.reptile import Reptile, ShrinkageReptile
from tts_meta.meta.learners.gradient import GradientLearner, GradientSettings
from tts_meta.meta.learners.imaml import ImplicitLearner, SigmaImamlSettings, implicit_estimator
from tts_meta.meta.registry import register


@register("sigma-reptile", source="Chen et al. 2020, section 4.2")
class SigmaReptileLearner(ImplicitLearner[SigmaImamlSettings]):
    """Joint MAP estimation of φ, and implicit gradients of one prior variance for each module."""

    Settings = SigmaImamlSettings
    prior_kind = "shrinkage"

    def estimator(self) -> ShrinkageReptile:
        return ShrinkageReptile(implicit_estimator(self.settings))


@register("reptile", source="Nichol, Achiam, Schulman 2018")
class ReptileLearner(GradientLearner[GradientSettings]):
    """Move φ towards the parameters that are adapted to each task."""

    def estimator(self) -> Reptile:
        return Reptile()
