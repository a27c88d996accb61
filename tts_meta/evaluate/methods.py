"""How the benchmark makes a voice: the settings of a method, which of them it uses, and the version of its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from tts_meta.adapt import CloneSettings, chosen_modules
from tts_meta.adapt.baselines.lora import LEARNING_RATE, LORA_VERSION
from tts_meta.adapt.clone import CLONE_VERSION
from tts_meta.adapt.early_stopping import STOPPING_VERSION
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.adapt.settings import NEGLIGIBLE, NO_PRIOR_LR, NO_PRIOR_STEPS, SIGMA_LR, VOCODER_LR
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.config import Section
from tts_meta.errors import UsageError
from tts_meta.evaluate.baselines import NEAREST_VERSION, ZERO_SHOT_VERSION
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.vocoder import Vocoder

LORA_RANK = 8
"""Of LoRA's adapters, where a learner gives none."""


class MethodConfig(Section):
    """How a voice is made: what is left out is as `clone` has it."""

    method: Literal["clone", "lora", "nearest", "zero-shot"] = "clone"
    """`lora`: by the library peft; `nearest`, `zero-shot`: of the base's own voices, without steps."""
    base: Path | None = None
    """Base folder, such as one with another prior; the benchmark's where not given."""
    prior: Path | None = None
    """File of a learned prior that is followed in place of the base's own, such as that of another base's modules."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules that adapt."""
    learning_rate: float | None = None
    """Step size of Adam."""
    variance: float | None = None
    """Prior variance of every module."""
    prior_scale: float | None = Field(default=None, gt=0)
    """How many times as wide as learned the prior is."""
    isotropic: float | None = Field(default=None, gt=0)
    """One σ for every module of the learned prior, in place of those found."""
    rank: int | None = Field(default=None, ge=0)
    """That matrices move in; of LoRA 8 where not given."""
    sentences: tuple[int, ...] = ()
    """In place of the benchmark's."""
    steps: tuple[int, ...] = ()
    """In place of the benchmark's."""
    auto_stop: bool = False
    """A voice whose loop ends as it does when `clone` is given no steps; others only after the learner's own steps."""

    @property
    def steps_matter(self) -> bool:
        """Whether there is an inner loop."""
        return self.method in ("clone", "lora")

    def check(self, name: str, base: Base, vocoder: Vocoder) -> None:
        """Raise UsageError for settings that this method would ignore or that exclude each other.

        name: of this learner, for the message. base: as `seen` returns it.
        """
        ignored = [
            key for key in sorted(self.model_fields_set - _USED[self.method]) if getattr(self, key) not in _UNSET
        ]
        if ignored:
            takes = ", ".join(sorted(_USED[self.method] - {"method"}))
            raise UsageError(f"learner '{name}': method {self.method} does not use {ignored[0]}; it uses {takes}")
        if self.method == "lora" and self.rank == 0:
            raise UsageError(f"learner '{name}': LoRA needs a rank of 1 or more; leave out rank for {LORA_RANK}")
        if self.method == "clone":
            settings = CloneSettings(self.modules, variance=self.variance, prior_scale=self.prior_scale)
            settings.prior_scale_for(base)
            chosen_modules(base, settings, vocoder)
        if not self.auto_stop:
            return
        for key in ("variance", "learning_rate"):
            if getattr(self, key) is not None:
                raise UsageError(
                    f"learner '{name}': with a {key} no loop stops by itself; leave out {key} or auto_stop"
                )
        if base.prior is None:
            raise UsageError(f"learner '{name}': auto_stop needs a learned prior, and the base has none; give steps")
        if self.modules and all(pattern.startswith(VOCODER_PREFIX) for pattern in self.modules):
            raise UsageError(f"learner '{name}': the vocoder's loop does not stop by itself; leave out auto_stop")

    @property
    def asks_prior(self) -> bool:
        """Whether the base's learned prior says how far modules move, or which."""
        return self.method == "clone" and (self.variance is None or not self.modules)

    def seen(self, base: Base) -> Base:
        """The base under the prior that this learner has.

        Raises UsageError where it asks for one that cannot be, TtsMetaError for a file that is none.
        """
        if self.prior is not None:
            if self.variance is not None:
                raise UsageError("a variance takes the place of a learned prior; leave out one of them")
            base = replace(base, prior=ModulePrior.load(self.prior))
        if self.isotropic is None:
            return base
        if self.variance is not None or self.prior_scale is not None:
            raise UsageError("isotropic says how far modules stray already; leave out variance and prior_scale")
        if base.prior is None:
            raise UsageError("isotropic takes the place of a learned prior, and the base has none; give a variance")
        return replace(base, prior=base.prior.isotropic(self.isotropic))

    def version(self, steps: int | None) -> list[float]:
        """Versions and constants of the code that a voice after so many steps depends on; part of its cache key."""
        if self.method == "nearest":
            return [NEAREST_VERSION]
        if self.method == "zero-shot":
            return [ZERO_SHOT_VERSION]
        if self.method == "lora":
            return [RECORDINGS_VERSION, LORA_VERSION, LEARNING_RATE, NO_PRIOR_STEPS]
        rule = [CLONE_VERSION, NEGLIGIBLE, NO_PRIOR_LR, NO_PRIOR_STEPS, VOCODER_LR, SIGMA_LR]
        return [RECORDINGS_VERSION, *rule, STOPPING_VERSION if steps is None else 0]


_PLACE = {"method", "base", "sentences"}
_USED: Mapping[str, set[str]] = {
    "clone": set(MethodConfig.model_fields),
    "lora": _PLACE | {"modules", "learning_rate", "rank", "steps"},
    "nearest": _PLACE,
    "zero-shot": _PLACE,
}
"""Settings that each method uses."""
_UNSET = (None, (), False)
