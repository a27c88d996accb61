"""`saved_learner`: the files of a learner, from the learner and what is known of its meta-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tts_meta.meta import MetaLearner
from tts_meta.models.learner_format import Model
from tts_meta.models.partition import DEFAULT_GRANULARITY, Granularity
from tts_meta.models.saved_learner import SavedLearner


def saved_learner(
    learner: MetaLearner,
    model: Model,
    rank: int = 0,
    granularity: Granularity = DEFAULT_GRANULARITY,
    *,
    meta_steps: int = 0,
    sigma_history: Mapping[str, list[float]] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> SavedLearner:
    """Return the learner as it is stored with weights; the hash of the weights is set when it is written.

    model: the model that it adapts. rank: rank of the changes of matrices. granularity: size of the modules of the
    domain. sigma_history: σ of each module after each meta-step. origin: other facts of the meta-training, as plain
    JSON.
    """
    adapted = tuple(module.name for module in learner.adapted_modules)
    return SavedLearner(
        learner.name,
        learner.version,
        learner.settings.model_dump(mode="json"),
        model,
        "",
        adapted,
        tuple(module.name for module in learner.domain.modules if module.name not in adapted),
        {name: value.cpu() for name, value in learner.stored_tensors().items()},
        rank,
        meta_steps,
        sigma_history=dict(sigma_history or {}),
        origin=dict(origin or {}),
        granularity=granularity,
    )
