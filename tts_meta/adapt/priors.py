"""The prior of the modules that adapt: one variance for all, or the variances that meta-training learned."""

from __future__ import annotations

import torch

from tts_meta.adapt.settings import CloneSettings
from tts_meta.errors import UsageError
from tts_meta.meta import ParameterLayout, ShrinkagePrior
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import ModulePrior


def isotropic_prior(layout: ParameterLayout, settings: CloneSettings) -> ShrinkagePrior:
    """A prior with one variance for all modules; the default of 1 is so wide that it has hardly any effect."""
    return ShrinkagePrior.isotropic(layout, 1.0 if settings.variance is None else settings.variance)


def learned_prior(prior: ModulePrior, layout: ParameterLayout, prior_scale: float) -> ShrinkagePrior:
    """The learned variances of the modules of `layout`, times `prior_scale`.

    Raises UsageError for a module without a learned variance.
    """
    missing = [name for name in layout.modules if name not in prior.variances]
    if missing:
        raise UsageError(f"the learned prior has no variance for module '{missing[0]}'; set a variance")
    values = [prior.variances[name] * prior_scale for name in layout.modules]
    return ShrinkagePrior(layout, torch.tensor(values).log())


def acoustic_prior(base: Base, layout: ParameterLayout, settings: CloneSettings) -> ShrinkagePrior:
    """The prior of the acoustic model's modules under these settings.

    Raises UsageError as `CloneSettings.prior_scale_for` and `learned_prior`, and where the learned prior belongs to
    full-rank changes and the settings ask for low-rank ones, or the reverse.
    """
    prior_scale = settings.prior_scale_for(base)
    if base.prior is None or not settings.uses_learned_prior(base):
        return isotropic_prior(layout, settings)
    if bool(base.prior.rank) != bool(settings.rank_for(base)):
        kind = f"changes of rank {base.prior.rank}" if base.prior.rank else "full-rank changes"
        raise UsageError(f"the base's prior was learned for {kind}; leave out rank or set a variance")
    return learned_prior(base.prior, layout, prior_scale)
