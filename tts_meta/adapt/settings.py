"""`CloneSettings`: the settings of cloning, such as adapted modules, learning rates and number of steps."""

from __future__ import annotations

from dataclasses import dataclass

from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.errors import UsageError
from tts_meta.models.pretrained import Base

NEGLIGIBLE = 0.077
"""Modules whose learned σ² is below this fraction of the largest σ² do not adapt, unless the prior lists its modules.

With the shipped base, 32 of 48 modules adapt. Voices of held-out speakers then have the same scores as with all 48
modules (`recipes/few_shot/prune.py`).
"""
NO_PRIOR_LR = 3e-4
"""Learning rate of Adam for the acoustic model, without a learned prior."""
NO_PRIOR_STEPS = 200
"""Number of inner steps without a learned prior. A learned prior would limit the effect of further steps."""
VOCODER_LR = 3e-5
"""Initial learning rate of Adam for the vocoder, without a learned prior.

The value is lower than `NO_PRIOR_LR`, because the gradient of the vocoder depends more on the random crops and noise
than on the speaker.
"""
SIGMA_LR = 0.1
"""Initial learning rate of Adam with a learned prior, in units of each module's σ. The learning rate decays to zero.

The decay averages out the random draws of the steps, so that the result depends little on the number of steps.
"""


@dataclass(frozen=True)
class CloneSettings:
    """Settings of the inner loop. The defaults scored best on held-out speakers."""

    modules: tuple[str, ...] = ()
    """Patterns of module names. Empty: the modules that the base's prior keeps, or all of the acoustic model.

    Names of vocoder modules begin with `vocoder.`. Only patterns with this prefix select vocoder modules.
    """
    steps: int | None = None
    """Steps of the inner loop. None: stop automatically (`early_stopping.py`), or 200 without a learned prior."""
    learning_rate: float | None = None
    """Constant learning rate of Adam. None: `SIGMA_LR`, which decays, or `NO_PRIOR_LR` without a learned prior."""
    vocoder_steps: int = 100
    """Steps of the vocoder's inner loop, if modules of the vocoder adapt."""
    vocoder_learning_rate: float | None = None
    """Initial learning rate of Adam for the vocoder.

    The learning rate decays to zero. None: `SIGMA_LR`, or `VOCODER_LR` if the vocoder has no learned prior.
    """
    variance: float | None = None
    """Prior variance σ² of every adapted module. None: the learned prior's variances, or 1 without a learned prior."""
    prior_scale: float | None = None
    """Multiplier of the learned prior variances. None: the value stored with the prior."""
    rank: int | None = None
    """Rank of the change of each matrix (`models/low_rank.py`); 0: full rank. None: the prior's rank, or full rank."""
    frames_per_step: int = 1600
    """Mel frames per step. Each step draws whole sentences with at most this many frames, but at least one sentence."""
    crops_per_step: int = 8
    """Number of crops in each step of the vocoder. A crop has 0.7 s."""
    seed: int = 0
    """Seed of the sentence and crop draws, the prenet's dropout and the vocoder's noise."""
    hold_out: int = 0
    """Number of sentences at the end of the list that are excluded from adaptation.

    `Voice.scores` contains the loss of these sentences before and after adaptation.
    """

    def uses_learned_prior(self, base: Base) -> bool:
        """Return whether cloning with these settings uses the base's learned prior."""
        return base.prior is not None and self.variance is None

    def prior_scale_for(self, base: Base) -> float:
        """Return the multiplier of the base's learned variances.

        Raises UsageError if `prior_scale` is set but the learned prior is not used.
        """
        if self.prior_scale is None:
            return 1.0 if base.prior is None else base.prior.prior_scale
        if not self.uses_learned_prior(base):
            raise UsageError(
                "prior_scale scales the base's learned prior, but these settings do not use it; leave out prior_scale"
            )
        return self.prior_scale

    def rank_for(self, base: Base) -> int:
        """Return the rank of the changes of the acoustic model's matrices; 0 is full rank."""
        if self.rank is None:
            return base.prior.rank if base.prior is not None and self.uses_learned_prior(base) else 0
        return self.rank

    @property
    def adapts_vocoder(self) -> bool:
        """Whether a pattern selects modules of the vocoder."""
        return any(pattern.startswith(VOCODER_PREFIX) for pattern in self.modules)
