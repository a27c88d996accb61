"""Makes the prior for cloning: one variance for all modules, or the variances that meta-training learned."""

from __future__ import annotations

import torch

from tts_meta.adapt.settings import CloneSettings
from tts_meta.errors import UsageError
from tts_meta.meta import ParameterLayout, ShrinkagePrior
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import ModulePrior


def isotropic_prior(layout: ParameterLayout, settings: CloneSettings) -> ShrinkagePrior:
    """Return a prior with one variance for all modules.

    The default variance of 1 is so large that the prior has hardly any effect.
    """
    return ShrinkagePrior.isotropic(layout, 1.0 if settings.variance is None else settings.variance)


def learned_prior(prior: ModulePrior, layout: ParameterLayout, prior_scale: float) -> ShrinkagePrior:
    """Return a prior with the learned variances of the modules of `layout`, multiplied by `prior_scale`.

    Raises UsageError for a module without a learned variance.
    """
    missing = [name for name in layout.modules if name not in prior.variances]
    if missing:
        raise UsageError(f"the learned prior has no variance for module '{missing[0]}'; set a variance")
    values = [prior.variances[name] * prior_scale for name in layout.modules]
    return ShrinkagePrior(layout, torch.tensor(values).log())


def acoustic_prior(base: Base, layout: ParameterLayout, settings: CloneSettings) -> ShrinkagePrior:
    """Return the prior of the acoustic model's modules for these settings.

    Raises UsageError for the same reasons as `CloneSettings.prior_scale_for` and `learned_prior`. Raises UsageError
    if the learned prior is for full-rank changes and the settings ask for low-rank changes, or the reverse.
    """
    prior_scale = settings.prior_scale_for(base)
    if base.prior is None or not settings.uses_learned_prior(base):
        return on_device(isotropic_prior(layout, settings), base.device)
    if bool(base.prior.rank) != bool(settings.rank_for(base)):
        kind = f"changes of rank {base.prior.rank}" if base.prior.rank else "full-rank changes"
        raise UsageError(f"the base's prior was learned for {kind}; leave out rank or set a variance")
    return on_device(learned_prior(base.prior, layout, prior_scale), base.device)


def on_device(prior: ShrinkagePrior, device: torch.device) -> ShrinkagePrior:
    """Return the same prior on the device of the model."""
    return ShrinkagePrior(prior.layout, prior.log_variances.to(device))
