"""`CloneSettings`: the settings of cloning, such as adapted modules, learning rates and number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tts_meta.adapt.voice import VOCODER_PREFIX

NEGLIGIBLE = 0.077
"""Modules whose learned σ² is below this fraction of the largest σ² do not adapt, unless the prior lists its modules.

With the shipped base, 32 of 48 modules adapt. Voices of held-out speakers then have the same scores as with all 48
modules (`recipes/few_shot/prune.py`).
"""
NO_PRIOR_LR = 3e-4
"""Learning rate of Adam for the acoustic model, for a learner that is not meta-trained."""
NO_PRIOR_STEPS = 200
"""Number of inner steps without a learned prior. A learned prior would limit the effect of further steps."""
HISTORY_MIXING = 0.5
"""Probability that a step of the decoder reads a predicted frame in inner steps.

It was chosen on held-out speakers (`recipes/few_shot/history_mixing.yaml`).
"""
VOCODER_LR = 3e-5
"""Initial learning rate of Adam for the vocoder, without a learned prior.

The value is lower than `NO_PRIOR_LR`, because the gradient of the vocoder depends more on the random crops and noise
than on the speaker.
"""


@dataclass(frozen=True)
class CloneSettings:
    """Settings of the inner loop. The defaults scored best on held-out speakers."""

    modules: tuple[str, ...] = ()
    """Patterns of module names. Empty: the modules that the base's prior keeps, or all of the acoustic model.

    Names of vocoder modules begin with `vocoder.`. Only patterns with this prefix select vocoder modules.
    """
    steps: int | None = None
    """Number of inner steps. None: stop automatically with a learned prior, else the learner's number, else 200."""
    learning_rate: float | None = None
    """Constant learning rate. None: that of the learner, or `NO_PRIOR_LR` for a learner that is not meta-trained."""
    vocoder_steps: int = 100
    """Steps of the vocoder's inner loop, if modules of the vocoder adapt."""
    vocoder_learning_rate: float | None = None
    """Initial learning rate of Adam for the vocoder.

    The learning rate decays to zero. None: that of the vocoder's learner, or `VOCODER_LR` if the vocoder has none.
    """
    variance: float | None = None
    """Prior variance σ² of every adapted module. None: the learned prior's variances, or 1 without a learned prior."""
    prior_scale: float | None = None
    """Multiplier of the learned prior variances. None: the value stored with the prior."""
    rank: int | None = None
    """Rank of the change of each matrix (`models/low_rank.py`); 0: full rank. None: the prior's rank, or full rank."""
    frames_per_step: int = 800
    """Mel frames of an inner step, approximately. A step draws segments of sentences, which are cut at pauses."""
    crops_per_step: int = 8
    """Number of crops in each step of the vocoder. A crop has 0.7 s."""
    history_mixing: float = HISTORY_MIXING
    """Probability that a step of the decoder reads a predicted frame in place of the recorded one, in inner steps.

    Synthesis reads predicted frames only. A voice that is adapted to recorded frames alone relies on them.
    """
    spectral_correction: float = 0.0
    """Fraction of the difference between the mean spectra of recordings and voice that is removed after adaptation.

    The correction changes `postnet.output.bias`, in closed form (`spectral_correction.py`). 0: no correction; 1: all of
    the difference.
    """
    seed: int = 0
    """Seed of the sentence and crop draws, the prenet's dropout and the vocoder's noise."""
    hold_out: int = 0
    """Number of sentences at the end of the list that are excluded from adaptation.

    `Voice.scores` contains the loss of these sentences before and after adaptation.
    """

    learner: str | Path | None = None
    """Name of a learner, or its folder; None is the learner of the base."""
    learner_settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the learner that replace those of its meta-training."""

    @property
    def adapts_vocoder(self) -> bool:
        """Whether a pattern selects modules of the vocoder."""
        return any(pattern.startswith(VOCODER_PREFIX) for pattern in self.modules)

    @property
    def adapts_vocoder_only(self) -> bool:
        """Whether every pattern selects modules of the vocoder."""
        return bool(self.modules) and all(pattern.startswith(VOCODER_PREFIX) for pattern in self.modules)
