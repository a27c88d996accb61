"""`CloneSettings`: which modules adapt, with which learning rates, and for how many steps."""

from __future__ import annotations

from dataclasses import dataclass

from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.errors import UsageError
from tts_meta.models.pretrained import Base

NEGLIGIBLE = 0.077
"""Modules whose learned σ² is below this fraction of the largest σ² do not adapt, unless the prior lists its modules.

With the shipped base 32 of 48 modules adapt. Voices of held-out speakers then score as with all 48
(`recipes/few_shot/prune.py`).
"""
NO_PRIOR_LR = 3e-4
"""Learning rate of Adam for the acoustic model, without a learned prior."""
NO_PRIOR_STEPS = 200
"""Inner steps without a learned prior, which would limit the effect of further steps."""
VOCODER_LR = 3e-5
"""Initial learning rate of Adam for the vocoder, without a learned prior.

It is lower than that of the acoustic model: here the gradient depends more on the random crops and noise than on the
speaker.
"""
SIGMA_LR = 0.1
"""Initial learning rate of Adam with a learned prior, in units of each module's σ. It decays to zero.

The decay averages out the random draws of the steps, so that the result depends little on the number of steps.
"""


@dataclass(frozen=True)
class CloneSettings:
    """Settings of the inner loop. The defaults scored best on held-out speakers."""

    modules: tuple[str, ...] = ()
    """Patterns over module names. Empty: the modules that the base's prior keeps, or all of the acoustic model.

    Names of vocoder modules begin with `vocoder.`, and only patterns that begin so select them.
    """
    steps: int | None = None
    """Steps of the inner loop. None: stop automatically (`early_stopping.py`), or 200 without a learned prior."""
    learning_rate: float | None = None
    """Constant learning rate of Adam. None: `SIGMA_LR`, which decays, or `NO_PRIOR_LR` without a learned prior."""
    vocoder_steps: int = 100
    """Steps of the vocoder's inner loop, if modules of the vocoder adapt."""
    vocoder_learning_rate: float | None = None
    """Initial learning rate of Adam for the vocoder, which decays to zero. None: `SIGMA_LR`, or `VOCODER_LR` where the
    vocoder has no learned prior."""
    variance: float | None = None
    """Prior variance σ² of every adapted module. None: the learned prior's variances, or 1 without a learned prior."""
    prior_scale: float | None = None
    """Multiplier of the learned prior variances. None: the value stored with the prior."""
    rank: int | None = None
    """Rank of the change of each matrix (`models/low_rank.py`); 0: full rank. None: the prior's rank, or full rank."""
    frames_per_step: int = 1600
    """Each step draws sentences until they hold this many mel frames."""
    crops_per_step: int = 8
    """Crops of 0.7 s in each step of the vocoder."""
    seed: int = 0
    """Seed of the sentence and crop draws, the prenet's dropout and the vocoder's noise."""
    hold_out: int = 0
    """Number of sentences, the last ones, to exclude from adaptation. `Voice.scores` holds their loss before and
    after."""

    def uses_learned_prior(self, base: Base) -> bool:
        """Whether cloning with these settings uses the base's learned prior."""
        return base.prior is not None and self.variance is None

    def prior_scale_for(self, base: Base) -> float:
        """The multiplier of the base's learned variances. Raises UsageError if it is set and the prior is not used."""
        if self.prior_scale is None:
            return 1.0 if base.prior is None else base.prior.prior_scale
        if not self.uses_learned_prior(base):
            raise UsageError(
                "prior_scale scales the base's learned prior, but these settings do not use that prior; leave it out"
            )
        return self.prior_scale

    def rank_for(self, base: Base) -> int:
        """The rank of the changes of the acoustic model's matrices; 0: full rank."""
        if self.rank is None:
            return base.prior.rank if base.prior is not None and self.uses_learned_prior(base) else 0
        return self.rank

    @property
    def adapts_vocoder(self) -> bool:
        """Whether a pattern selects modules of the vocoder."""
        return any(pattern.startswith(VOCODER_PREFIX) for pattern in self.modules)
