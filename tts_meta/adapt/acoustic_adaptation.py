"""Sets up the inner loop that adapts the acoustic model: modules, data, prior, learning rates, number of steps."""

from __future__ import annotations

from collections.abc import Sequence

from tts_meta.adapt.acoustic_task import AcousticTask, acoustic_nll
from tts_meta.adapt.adaptation import Adaptation, ScoredTask, constant_lr, linear_decay, sigma_lr
from tts_meta.meta.solvers.stopping import PlateauStop
from tts_meta.adapt.priors import acoustic_prior
from tts_meta.adapt.settings import NO_PRIOR_LR, NO_PRIOR_STEPS, SIGMA_LR, CloneSettings
from tts_meta.corpus import Example
from tts_meta.meta import Domain, ParameterLayout, Task
from tts_meta.models.low_rank import low_rank
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base


def acoustic_adaptation(
    base: Base, modules: Partition, support: Sequence[Example], held_out: Sequence[Example], settings: CloneSettings
) -> Adaptation:
    """Return the inner loop that adapts `modules` of the base's acoustic model to the mels of the support sentences.

    held_out: sentences whose loss is measured, but that are not adapted on. Raises UsageError for the same reasons
    as `acoustic_prior`.
    """
    acoustic, rank = base.acoustic, settings.rank_for(base)
    model, adapted = (acoustic, modules) if not rank else low_rank(acoustic, modules, rank)
    domain = Domain(model, acoustic_nll(acoustic), ParameterLayout.from_modules(model, adapted.modules))
    support_task, held_out_task = (AcousticTask(base, examples, modules.names) for examples in (support, held_out))
    support_data = ScoredTask(support_task.task(None, settings.frames_per_step, settings.seed), support_task.frames)
    held_out_data = ScoredTask(Task(held_out_task.all_sentences()), held_out_task.frames) if held_out else None
    prior = acoustic_prior(base, domain.adapted, settings)
    plateau, learning_rate = None, settings.learning_rate
    if learning_rate is not None or not settings.uses_learned_prior(base):
        steps = NO_PRIOR_STEPS if settings.steps is None else settings.steps
        schedule = constant_lr(learning_rate or NO_PRIOR_LR)
    else:
        initial_lr = sigma_lr(prior, settings.prior_scale_for(base), SIGMA_LR)
        if settings.steps is not None:
            steps, schedule = settings.steps, linear_decay(initial_lr, settings.steps)
        else:
            plateau = PlateauStop(initial_lr)
            steps, schedule = plateau.max_steps, plateau.learning_rate
    return Adaptation("acoustic model", domain, support_data, held_out_data, steps, prior, schedule, plateau)
