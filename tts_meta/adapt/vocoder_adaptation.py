"""Sets up the adaptation of the vocoder: learner, data and budget."""

from __future__ import annotations

from collections.abc import Sequence

from tts_meta.adapt.adaptation import Adaptation, ScoredTask
from tts_meta.adapt.learner_choice import LearnerChoice, choose_vocoder_learner
from tts_meta.adapt.settings import CloneSettings
from tts_meta.adapt.vocoder_domain import vocoder_domain
from tts_meta.adapt.vocoder_task import VocoderTask, adaptable_vocoder_modules
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta import Budget, MetaLearner, create_learner
from tts_meta.models.partition import Partition
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder


def vocoder_adaptation(
    vocoder: SourceFilterVocoder,
    modules: Partition,
    support: Sequence[Example],
    held_out: Sequence[Example],
    settings: CloneSettings,
) -> Adaptation:
    """Return the adaptation of `modules` of the vocoder to the support sentences.

    Adaptation maximises the likelihood of the samples given the mels. held_out: sentences whose loss is measured, but
    that are not adapted on. Raises UsageError for the same reasons as `vocoder_learner` and `VocoderTask`. Raises
    TtsMetaError for the same reasons as `VocoderTask`.
    """

    def scored_task(examples: Sequence[Example], seed: int) -> ScoredTask:
        task = VocoderTask(vocoder.generator, examples)
        return ScoredTask(task.task(settings.crops_per_step, seed), task.samples)

    learner = vocoder_learner(vocoder, choose_vocoder_learner(vocoder.generator, settings), modules)
    held_out_data = scored_task(held_out, 0) if held_out else None
    data, budget = scored_task(support, settings.seed), Budget(settings.vocoder_steps)
    return Adaptation("vocoder", vocoder_domain(vocoder, modules), learner, data, held_out_data, budget)


def vocoder_learner(vocoder: SourceFilterVocoder, choice: LearnerChoice, modules: Partition) -> MetaLearner:
    """Return the learner of a choice, with its meta-parameters, which adapts only `modules` of the vocoder.

    Raises UsageError for a module that a meta-trained learner does not adapt.
    """
    saved = choice.saved
    if saved is None:
        return create_learner(choice.name, vocoder_domain(vocoder, modules), choice.settings, modules=modules.names)
    missing = [name for name in modules.names if name not in saved.modules]
    if missing:
        raise UsageError(f"the learned prior has no variance for module '{missing[0]}'; set a variance")
    everything = adaptable_vocoder_modules(vocoder)
    trained = Partition(tuple(m for m in everything.modules if m.name in {*saved.modules, *saved.shared}))
    learner = create_learner(choice.name, vocoder_domain(vocoder, trained), choice.settings, modules=saved.modules)
    return learner.load_stored(dict(saved.tensors)).restrict(modules.names)
