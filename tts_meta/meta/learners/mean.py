"""`MeanVoice`: the baseline without adaptation, θ = φ."""

from __future__ import annotations

from collections.abc import Sequence

from tts_meta.meta.budget import Budget
from tts_meta.meta.learner import Adapted, MetaLearner, Observer
from tts_meta.meta.registry import register
from tts_meta.meta.task import Task


@register("mean-voice", source="no adaptation")
class MeanVoice(MetaLearner):
    """No parameter changes: each task has the parameters of the model, which are the mean voice of a base."""

    adapts = "none"
    iterative = False
    trainable = False

    def adapt(self, tasks: Sequence[Task], budget: Budget, observe: Observer | None = None) -> Adapted:
        return Adapted.without_steps({}, len(tasks))
