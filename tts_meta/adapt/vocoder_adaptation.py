"""Sets up the inner loop that adapts the vocoder: modules, data, prior, learning rates, number of steps."""

from __future__ import annotations

from collections.abc import Sequence

from tts_meta.adapt.adaptation import Adaptation, ScoredTask, linear_decay, sigma_lr
from tts_meta.adapt.priors import isotropic_prior, learned_prior, on_device
from tts_meta.adapt.settings import SIGMA_LR, VOCODER_LR, CloneSettings
from tts_meta.adapt.vocoder_task import VocoderTask, generator_modules, vocoder_nll
from tts_meta.corpus import Example
from tts_meta.meta import Domain, ParameterLayout
from tts_meta.models.partition import Partition
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder


def vocoder_adaptation(
    vocoder: SourceFilterVocoder,
    modules: Partition,
    support: Sequence[Example],
    held_out: Sequence[Example],
    settings: CloneSettings,
) -> Adaptation:
    """Return the inner loop that adapts `modules` of the vocoder to the support sentences.

    The loop maximises the likelihood of the samples given the mels. held_out: sentences whose loss is measured, but
    that are not adapted on. Raises UsageError for the same reasons as `learned_prior` and `VocoderTask`. Raises
    TtsMetaError for the same reasons as `VocoderTask`.
    """
    model = vocoder.generator
    domain = Domain(model, vocoder_nll(model), ParameterLayout.from_modules(model, generator_modules(modules)))

    def scored_task(examples: Sequence[Example], seed: int) -> ScoredTask:
        task = VocoderTask(model, examples)
        return ScoredTask(task.task(settings.crops_per_step, seed), task.samples)

    held_out_data = scored_task(held_out, 0) if held_out else None
    device, initial_lr, steps = model.window.device, VOCODER_LR, settings.vocoder_steps
    prior = on_device(isotropic_prior(domain.adapted, settings), device)
    if model.prior is not None and settings.variance is None:
        prior_scale = settings.prior_scale or model.prior.prior_scale
        prior = on_device(learned_prior(model.prior, domain.adapted, prior_scale), device)
        initial_lr = sigma_lr(prior, prior_scale, SIGMA_LR)
    schedule = linear_decay(settings.vocoder_learning_rate or initial_lr, steps)
    return Adaptation("vocoder", domain, scored_task(support, settings.seed), held_out_data, steps, prior, schedule)
