"""`MethodConfig`: one method of the few-shot benchmark, which is a learner with its settings, modules and steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from tts_meta.adapt import CloneSettings, chosen_modules
from tts_meta.adapt.acoustic_adaptation import acoustic_learner
from tts_meta.adapt.learner_choice import LearnerChoice, base_of_learner, check_used, choose_acoustic_learner
from tts_meta.adapt.settings import HISTORY_MIXING
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.config import Section, parse_settings
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.vocoders.vocoder import Vocoder

WITHOUT_STEPS = "mean-voice"
"""Learner of a trial with 0 steps."""


class MethodConfig(Section):
    """One entry of `learners` in a recipe. A setting that is left out has the default of `clone`."""

    learner: str | None = None
    """Name of a learner, or the path of its folder; the learner of the base by default."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the learner itself, such as `{rank: 4}` of `lora`."""
    base: Path | None = None
    """Base folder; by default the base whose folder contains the learner, or else the base of the benchmark."""
    prior: Path | None = None
    """Folder of a learner whose prior replaces the learner of the base, such as the folder of another base."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules to adapt."""
    learning_rate: float | None = None
    """Constant learning rate of the inner loop."""
    variance: float | None = None
    """Prior variance of every module."""
    prior_scale: float | None = Field(default=None, gt=0)
    """Multiplier of the learned prior variances."""
    isotropic: float | None = Field(default=None, gt=0)
    """One σ for every module of the learned prior, instead of the learned σ of each module."""
    rank: int | None = Field(default=None, ge=0)
    """Rank of the deltas of matrices."""
    history_mixing: float = Field(default=HISTORY_MIXING, ge=0, le=1)
    """Probability that a step of the decoder reads a predicted frame in place of the recorded one, in inner steps."""
    spectral_correction: float = Field(default=0.0, ge=0, le=1)
    """Fraction of the difference between the mean spectra of recordings and voice that is removed after adaptation."""
    sentences: tuple[int, ...] = ()
    """Numbers of sentences to adapt on; those of the benchmark if empty."""
    steps: tuple[int, ...] = ()
    """Numbers of inner steps; those of the benchmark if empty. 0 steps give the mean voice of the base."""
    auto_stop: bool = False
    """Make a voice whose inner loop stops automatically, as in `clone`, and one voice for each entry of `steps`."""

    @property
    def base_folder(self) -> Path | None:
        """The base folder of the method; None is the base of the benchmark."""
        return self.base or base_of_learner(self.learner)

    def with_prior(self, base: Base) -> Base:
        """Return the base with the prior that these settings select.

        Raises UsageError for settings that contradict each other. Raises TtsMetaError for a path without a learner, or
        whose learner has no prior.
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

    def clone_settings(self, base: Base, steps: int | None, frames_per_step: int, seed: int) -> CloneSettings:
        """Return the settings of cloning for a trial.

        steps: number of steps, or None if the loop stops automatically. With 0 steps of a learner that has inner steps,
        nothing adapts. base: the result of `with_prior`. Raises the errors of `choose_acoustic_learner`.
        """
        settings = CloneSettings(
            self.modules,
            steps or None,
            self.learning_rate,
            variance=self.variance,
            prior_scale=self.prior_scale,
            rank=self.rank,
            frames_per_step=frames_per_step,
            history_mixing=self.history_mixing,
            spectral_correction=self.spectral_correction,
            seed=seed,
            learner=self.learner,
            learner_settings=self.settings,
        )
        if steps == 0 and choose_acoustic_learner(base, settings).learner_class.iterative:
            return CloneSettings(frames_per_step=frames_per_step, seed=seed, learner=WITHOUT_STEPS)
        return settings

    def choice(self, base: Base) -> LearnerChoice:
        """Return the learner. base: the result of `with_prior`. Raises the errors of `choose_acoustic_learner`."""
        return choose_acoustic_learner(base, self.clone_settings(base, None, 1, 0))

    def step_counts(self, base: Base, default: Sequence[int]) -> tuple[int | None, ...]:
        """Return the numbers of steps. None is a loop that stops automatically. base: the result of `with_prior`."""
        if not self.choice(base).learner_class.iterative:
            return (0,)
        return (*self.steps, None) if self.auto_stop else self.steps or tuple(default)

    def check(self, name: str, base: Base, vocoder: Vocoder) -> None:
        """Raise UsageError for settings that the learner does not use, or that contradict each other.

        name: name of this entry, for the message. base: the result of `with_prior`. The learner is created, unless it
        needs recordings of training speakers.
        """
        try:
            choice, settings = self.choice(base), self.clone_settings(base, None, 1, 0)
            check_used(choice, settings)
            self._check_used(choice)
            modules = chosen_modules(base, settings, vocoder).modules
            acoustic = Partition(tuple(module for module in modules if not module.name.startswith(VOCODER_PREFIX)))
            parse_settings(choice.settings, choice.learner_class.Settings, f"learner '{choice.name}'")
            if acoustic.modules and "trained_tasks" not in choice.learner_class.needs:
                acoustic_learner(base, choice, acoustic, settings)
            if self.auto_stop:
                self._check_auto_stop(choice, base)
        except UsageError as error:
            raise UsageError(f"learners.{name}: {error}") from error

    def _check_used(self, choice: LearnerChoice) -> None:
        """Raise UsageError for a setting of the benchmark that the learner does not use."""
        iterative, has_prior = choice.learner_class.iterative, choice.has_learned_prior
        used = {"steps": iterative, "auto_stop": iterative, "prior": has_prior, "isotropic": has_prior}
        for key, is_used in used.items():
            if getattr(self, key) and not is_used:
                raise UsageError(f"learner '{choice.name}' does not use {key}; leave out {key}")

    def _check_auto_stop(self, choice: LearnerChoice, base: Base) -> None:
        for key in ("variance", "learning_rate"):
            if getattr(self, key) is not None:
                raise UsageError(f"with {key}, no loop stops automatically; leave out {key} or auto_stop")
        if self.learner is None and base.prior is None:
            raise UsageError("auto_stop needs a learned prior, but the base has none; give steps")
        if not choice.budget(None).stop_on_plateau:
            raise UsageError(f"learner '{choice.name}' does not stop automatically; leave out auto_stop and give steps")
        if self.modules and all(pattern.startswith(VOCODER_PREFIX) for pattern in self.modules):
            raise UsageError("the loop of the vocoder does not stop automatically; leave out auto_stop")
