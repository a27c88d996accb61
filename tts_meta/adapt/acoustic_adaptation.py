"""Sets up the adaptation of the acoustic model: learner, data and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.acoustic_task import ADAPTATION_DENSITY, AcousticTask, adaptable_modules, with_history_mixing
from tts_meta.adapt.adaptation import Adaptation, Correction, ScoredTask
from tts_meta.adapt.learner_choice import LearnerChoice, choose_acoustic_learner, require_trained_tasks
from tts_meta.adapt.settings import CloneSettings
from tts_meta.adapt.spectral_correction import CORRECTED_MODULE, correct_spectrum
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta import MetaLearner, Task, TrainedTasks, create_learner
from tts_meta.models.densities import Density
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base

ACOUSTIC_ROLES: Mapping[str, tuple[str, ...]] = {
    "head": ("decoder.output", "postnet.output"),
    "context": ("speaker.mean",),
}
"""Default patterns of the modules of the head and of the context."""


def acoustic_adaptation(
    base: Base,
    modules: Partition,
    support: Sequence[Example],
    held_out: Sequence[Example],
    settings: CloneSettings,
    trained_tasks: TrainedTasks | None = None,
    density: Density = ADAPTATION_DENSITY,
) -> Adaptation:
    """Return the adaptation of `modules` of the base's acoustic model to the mels of the support sentences.

    held_out: sentences whose loss is measured, but that are not adapted on. trained_tasks: the training speakers, for
    learners that use them. density: density of the errors in the loss. Raises UsageError and TtsMetaError for the same
    reasons as `choose_acoustic_learner`, `require_trained_tasks` and `acoustic_learner`.
    """
    choice = choose_acoustic_learner(base, settings)
    require_trained_tasks(choice, trained_tasks)
    learner = acoustic_learner(base, choice, modules, settings, trained_tasks, density)
    names = tuple(module.name for module in learner.adapted_modules)
    support_task, held_out_task = (AcousticTask(base, examples, names) for examples in (support, held_out))
    task = support_task.task(None, settings.frames_per_step, settings.seed, history_mixing=settings.history_mixing)
    if choice.minimises:  # the steps read the support, not draws from it
        task = replace(task, support=with_history_mixing(task.support, settings.history_mixing))
    support_data = ScoredTask(task, support_task.frames)
    held_out_data = ScoredTask(Task(held_out_task.all_sentences()), held_out_task.frames) if held_out else None
    budget = choice.budget(settings.steps, settings.learning_rate is not None)
    domain = acoustic_domain(base, modules, density=density)
    correction = None
    if fraction := settings.spectral_correction:
        correction = Correction(CORRECTED_MODULE, partial(correct_spectrum, base, support, fraction))
    return Adaptation("acoustic model", domain, learner, support_data, held_out_data, budget, correction)


def acoustic_learner(
    base: Base,
    choice: LearnerChoice,
    modules: Partition,
    settings: CloneSettings,
    trained_tasks: TrainedTasks | None = None,
    density: Density = ADAPTATION_DENSITY,
) -> MetaLearner:
    """Return the learner of a choice, with its meta-parameters, which adapts only `modules`.

    density: density of the errors in the loss. Raises UsageError for a module that a meta-trained learner does not
    adapt, a setting that it does not use, another rank than that of its meta-training, or a capability that the
    acoustic model does not have.
    """
    saved, rank = choice.saved, settings.rank or 0
    everything = adaptable_modules(base, choice.granularity)
    roles = {role: _names(everything.select(patterns), modules) for role, patterns in ACOUSTIC_ROLES.items()}
    if saved is None:
        domain = acoustic_domain(base, modules, rank, roles, trained_tasks, density)
        explicit = modules.names if settings.modules else None
        return create_learner(choice.name, domain, choice.settings, modules=explicit, seed=settings.seed)
    if settings.rank is not None and bool(settings.rank) != bool(saved.rank):
        kind = f"changes of rank {saved.rank}" if saved.rank else "full-rank changes"
        raise UsageError(f"the base's prior was learned for {kind}; leave out rank or set a variance")
    missing = [name for name in modules.names if name not in saved.modules]
    if missing:
        raise UsageError(f"the learned prior has no variance for module '{missing[0]}'; set a variance")
    trained = Partition(tuple(m for m in everything.modules if m.name in {*saved.modules, *saved.shared}))
    domain = acoustic_domain(
        base, trained, saved.rank if settings.rank is None else settings.rank, roles, trained_tasks, density
    )
    learner = create_learner(choice.name, domain, choice.settings, modules=saved.modules, seed=settings.seed)
    learner.load_stored(dict(saved.tensors))
    adapted = {module.name for module in learner.adapted_modules}
    return learner if adapted == set(modules.names) else learner.restrict(modules.names)


def _names(chosen: Partition, available: Partition) -> tuple[str, ...]:
    return tuple(name for name in available.names if name in chosen.names)
