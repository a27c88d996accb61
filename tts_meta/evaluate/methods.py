"""`MethodConfig`: the settings and the code version of one method of the few-shot benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from tts_meta.adapt import CloneSettings, chosen_modules
from tts_meta.adapt.baselines.lora import LEARNING_RATE, LORA_VERSION
from tts_meta.adapt.clone import CLONE_VERSION
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.adapt.settings import NEGLIGIBLE, NO_PRIOR_LR, NO_PRIOR_STEPS, SIGMA_LR, VOCODER_LR
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.config import Section
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.baselines import NEAREST_VERSION, ZERO_SHOT_VERSION
from tts_meta.meta.solvers.stopping import STOPPING_VERSION
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.vocoders.vocoder import Vocoder

LORA_RANK = 8
"""Default rank of the LoRA adapters."""


class MethodConfig(Section):
    """One entry of `learners` in a recipe. A setting that is left out has the default of `clone`."""

    method: Literal["clone", "lora", "nearest", "zero-shot"] = "clone"
    """`lora`: adapters by the library peft. `nearest`, `zero-shot`: voices of training speakers, without steps."""
    base: Path | None = None
    """Base folder; the base of the benchmark by default."""
    prior: Path | None = None
    """Base folder or `learner.json` with a learned prior that replaces the prior of the base."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules to adapt."""
    learning_rate: float | None = None
    """Learning rate of Adam."""
    variance: float | None = None
    """Prior variance of every module."""
    prior_scale: float | None = Field(default=None, gt=0)
    """Multiplier of the learned prior variances."""
    isotropic: float | None = Field(default=None, gt=0)
    """One σ for every module of the learned prior, instead of the learned σ of each module."""
    rank: int | None = Field(default=None, ge=0)
    """Rank of the deltas of matrices; 8 by default for LoRA."""
    sentences: tuple[int, ...] = ()
    """Numbers of sentences to adapt on; those of the benchmark if empty."""
    steps: tuple[int, ...] = ()
    """Numbers of inner steps; those of the benchmark if empty."""
    auto_stop: bool = False
    """Make a voice whose inner loop stops automatically, as in `clone`, and one voice for each entry of `steps`."""

    @property
    def steps_matter(self) -> bool:
        """Whether the method has an inner loop."""
        return self.method in ("clone", "lora")

    def check(self, name: str, base: Base, vocoder: Vocoder) -> None:
        """Raise UsageError for settings that this method would ignore or that contradict each other.

        name: name of this entry, for the message. base: the result of `with_prior`.
        """
        ignored = [
            key for key in sorted(self.model_fields_set - _USED[self.method]) if getattr(self, key) not in _UNSET
        ]
        if ignored:
            used = ", ".join(sorted(_USED[self.method] - {"method"}))
            raise UsageError(f"learner '{name}': method {self.method} does not use {ignored[0]}; it uses {used}")
        if self.method == "lora" and self.rank == 0:
            raise UsageError(
                f"learner '{name}': LoRA needs a rank of 1 or more; leave out rank for the default {LORA_RANK}"
            )
        if self.method == "clone":
            settings = CloneSettings(self.modules, variance=self.variance, prior_scale=self.prior_scale)
            settings.prior_scale_for(base)
            chosen_modules(base, settings, vocoder)
        if not self.auto_stop:
            return
        for key in ("variance", "learning_rate"):
            if getattr(self, key) is not None:
                raise UsageError(
                    f"learner '{name}': with {key}, no loop stops automatically; leave out {key} or auto_stop"
                )
        if base.prior is None:
            raise UsageError(f"learner '{name}': auto_stop needs a learned prior, but the base has none; give steps")
        if self.modules and all(pattern.startswith(VOCODER_PREFIX) for pattern in self.modules):
            raise UsageError(
                f"learner '{name}': the loop of the vocoder does not stop automatically; leave out auto_stop"
            )

    @property
    def uses_prior(self) -> bool:
        """Whether the learned prior determines which modules adapt or how far."""
        return self.method == "clone" and (self.variance is None or not self.modules)

    def with_prior(self, base: Base) -> Base:
        """Return the base with the prior that these settings select.

        Raises UsageError for settings that contradict each other. Raises TtsMetaError for a file that is not a
        learner with a prior.
        """
        if self.prior is not None:
            if self.variance is not None:
                raise UsageError(
                    "variance replaces the learned prior, but prior names a learned prior; leave out one of them"
                )
            prior = SavedLearner.load(self.prior).prior
            if prior is None:
                raise TtsMetaError(f"{self.prior}: the learner has no prior; name a learner with a learned prior")
            base = base.with_prior(prior)
        if self.isotropic is None:
            return base
        if self.variance is not None or self.prior_scale is not None:
            raise UsageError("isotropic sets the prior variance; leave out variance and prior_scale")
        if base.prior is None:
            raise UsageError("isotropic replaces the learned σ, but the base has no learned prior; give a variance")
        return base.with_prior(base.prior.isotropic(self.isotropic))

    def version(self, steps: int | None) -> list[float]:
        """Return the versions and constants of the code that makes a voice after `steps` steps.

        The cache key of the voice contains the returned numbers.
        """
        if self.method == "nearest":
            return [NEAREST_VERSION]
        if self.method == "zero-shot":
            return [ZERO_SHOT_VERSION]
        if self.method == "lora":
            return [RECORDINGS_VERSION, LORA_VERSION, LEARNING_RATE, NO_PRIOR_STEPS]
        rule = [CLONE_VERSION, NEGLIGIBLE, NO_PRIOR_LR, NO_PRIOR_STEPS, VOCODER_LR, SIGMA_LR]
        return [RECORDINGS_VERSION, *rule, STOPPING_VERSION if steps is None else 0]


_COMMON = {"method", "base", "sentences"}
_USED: Mapping[str, set[str]] = {
    "clone": set(MethodConfig.model_fields),
    "lora": _COMMON | {"modules", "learning_rate", "rank", "steps"},
    "nearest": _COMMON,
    "zero-shot": _COMMON,
}
"""Settings that each method uses."""
_UNSET = (None, (), False)
