"""Baselines without meta-learning: φ is fitted to all tasks at once, and then adapts by gradient steps."""

from __future__ import annotations

from tts_meta.meta.estimators.joint_training import JointTraining
from tts_meta.meta.learners.gradient import GradientLearner, GradientSettings
from tts_meta.meta.registry import register


@register("finetune-all", source="pretraining, then every module adapts (Caruana 1997)")
class FinetuneAll(GradientLearner[GradientSettings]):
    """Pretraining on all tasks; every module adapts."""

    def estimator(self) -> JointTraining:
        return JointTraining()


@register("finetune-embedding", source="pretraining, then the context adapts")
class FinetuneEmbedding(FinetuneAll):
    """Pretraining on all tasks; only the context adapts."""

    adapts = "context"
