"""`LearnerChoice`: which learner a clone adapts with, with which settings, modules and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tts_meta.adapt.acoustic_task import adaptable_modules
from tts_meta.adapt.settings import NEGLIGIBLE, NO_PRIOR_LR, NO_PRIOR_STEPS, VOCODER_LR, CloneSettings
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.errors import UsageError, excerpt
from tts_meta.meta import LEARNERS, Budget, MetaLearner, TrainedTasks
from tts_meta.models.partition import Granularity
from tts_meta.models.pretrained import Base, is_base
from tts_meta.models.saved_learner import FILE, SavedLearner
from tts_meta.models.vocoders.source_filter import SourceFilterGenerator

WITHOUT_PRIOR = "imaml"
"""Learner for settings with a `variance`, and for a base without a learner: one variance for all modules."""
WITHOUT_RATE = "l-bfgs"
"""The inner solver without a learning rate. A learning rate in the settings of cloning selects Adam in its place."""
_UNTRAINED = {"inner_solver": "adam", "inner_lr": NO_PRIOR_LR}
"""Settings of a learner with an inner solver that is not meta-trained."""


@dataclass(frozen=True)
class LearnerChoice:
    """A learner by name, with the settings that differ from its defaults.

    saved: the files that its meta-parameters come from; None for a learner that is not meta-trained.
    """

    name: str
    settings: Mapping[str, Any]
    saved: SavedLearner | None = None

    @property
    def learner_class(self) -> type[MetaLearner]:
        """The class of the learner."""
        return LEARNERS[self.name]

    @property
    def granularity(self) -> Granularity | None:
        """Size of the modules of a meta-trained learner; None is that of the base's learner."""
        return None if self.saved is None else self.saved.granularity

    @property
    def has_learned_prior(self) -> bool:
        """Whether σ of each module is meta-learned."""
        return self.saved is not None and self.saved.prior is not None and self.uses("prior_scale")

    @property
    def minimises(self) -> bool:
        """Whether the inner loop minimises the objective of all recordings by L-BFGS, without draws."""
        return self.settings.get("inner_solver") == WITHOUT_RATE

    def uses(self, setting: str) -> bool:
        """Return whether the learner has a setting of this name."""
        return setting in self.learner_class.Settings.model_fields

    def default_modules(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the modules that may adapt if the settings of cloning name none. names: all modules of the model.

        Modules with a negligible learned σ do not adapt.
        """
        if self.saved is None:
            return names
        kept = set(self.saved.modules)
        if self.has_learned_prior and self.saved.prior is not None:
            kept = set(self.saved.prior.strongest(NEGLIGIBLE))
        return tuple(name for name in names if name in kept)

    def budget(self, steps: int | None, constant_rate: bool = False) -> Budget:
        """Return the budget of the inner loop. steps: number of steps, or None for the learner's own rule.

        A learner with a learned σ stops on a plateau, unless its learning rate is constant. Another meta-trained
        learner takes as many steps as in its meta-training. All others take `NO_PRIOR_STEPS`.
        """
        if steps is not None:
            return Budget(steps)
        if self.has_learned_prior and not constant_rate:
            return Budget.plateau()
        if self.saved is not None and not constant_rate and self.settings.get("inner_steps"):
            return Budget(self.settings["inner_steps"])
        return Budget(NO_PRIOR_STEPS)


def choose_acoustic_learner(base: Base, settings: CloneSettings) -> LearnerChoice:
    """Return the learner that adapts the acoustic model with these settings of cloning.

    Raises UsageError for an unknown learner, for a folder without a learner, or for a setting that the learner does not
    use. Raises TtsMetaError for the files of a learner of another base, partition or version.
    """
    if settings.learner is None and settings.variance is not None:
        chosen = LearnerChoice(WITHOUT_PRIOR, _UNTRAINED)
    else:
        chosen = find_learner_choice(settings.learner, base.learner)
    if chosen.saved is not None:
        names, version = adaptable_modules(base, chosen.granularity).names, chosen.learner_class.version
        chosen.saved.check_fits(base.hash, names, base.folder, version=version)
    _check_uses(chosen, settings)
    changes: dict[str, Any] = dict(settings.learner_settings)
    if settings.learning_rate is not None:
        constant = {"inner_lr": settings.learning_rate, "inner_lr_final_fraction": 1.0, "scale_lr_by_sigma": False}
        changes |= {name: value for name, value in constant.items() if chosen.uses(name)}
        if chosen.settings.get("inner_solver") == WITHOUT_RATE:
            changes["inner_solver"] = "adam"
    if settings.variance is not None:
        changes["variance"] = settings.variance
    changes |= _prior_scale(chosen, settings)
    if settings.variance is not None and chosen.has_learned_prior:
        raise UsageError(f"learner '{chosen.name}' has a learned prior; leave out variance")
    return replace(chosen, settings={**chosen.settings, **changes})


def choose_vocoder_learner(generator: SourceFilterGenerator, settings: CloneSettings) -> LearnerChoice:
    """Return the learner that adapts the vocoder with these settings of cloning."""
    if generator.learner is None or settings.variance is not None:
        chosen = LearnerChoice(WITHOUT_PRIOR, {"inner_solver": "adam", "inner_lr": VOCODER_LR})
    else:
        chosen = _of_saved(generator.learner)
    changes: dict[str, Any] = {"inner_lr_final_fraction": 0.0}
    if settings.vocoder_learning_rate is not None:
        changes["inner_lr"] = settings.vocoder_learning_rate
        changes |= {"scale_lr_by_sigma": False} if chosen.uses("scale_lr_by_sigma") else {}
    if settings.variance is not None:
        changes["variance"] = settings.variance
    if chosen.has_learned_prior:
        changes |= _prior_scale(chosen, settings)
    return replace(chosen, settings={**chosen.settings, **changes})


def find_learner_choice(reference: str | Path | None, own: SavedLearner | None) -> LearnerChoice:
    """Return the learner that a name or a path means.

    reference: a registered name, or the folder or `learner.json` of a learner; None is `own`, the learner of the base.
    The name of the base's own learner means that learner with its meta-parameters. Raises UsageError if there is no
    such learner.
    """
    if reference is None:
        return LearnerChoice(WITHOUT_PRIOR, _UNTRAINED) if own is None else _of_saved(own)
    name = str(reference)
    if name in LEARNERS:
        if own is not None and own.learner == name:
            return _of_saved(own)
        chosen = LearnerChoice(name, {})
        return replace(chosen, settings=_UNTRAINED) if chosen.uses("inner_solver") else chosen
    path = Path(reference)
    if not (path / FILE).is_file() and not (path.is_file() and path.name == FILE):
        if path.is_dir():
            raise UsageError(f"{excerpt(name)}: the folder has no learner ({FILE}); meta-train one, or give a name")
        known = ", ".join(LEARNERS)
        raise UsageError(f"no learner '{excerpt(name)}': neither a folder with {FILE} nor one of the names {known}")
    return _of_saved(SavedLearner.load(path))


def base_of_learner(reference: str | Path | None) -> Path | None:
    """Return the base folder that contains a learner's files.

    reference: as in `find_learner_choice`. None is returned for a name, and for files outside a base folder.
    """
    if reference is None or str(reference) in LEARNERS:
        return None
    path = Path(reference)
    folder = path.parent if path.name == FILE else path
    return folder if is_base(folder) else None


def require_trained_tasks(choice: LearnerChoice, trained_tasks: TrainedTasks | None) -> None:
    """Raise UsageError if the learner needs the training speakers of the base, and they are not given."""
    if "trained_tasks" in choice.learner_class.needs and trained_tasks is None:
        raise UsageError(
            f"learner '{choice.name}' needs recordings of the training speakers of the base; use it in a recipe of "
            "tts-meta benchmark, or choose another learner"
        )


def check_learner(base: Base, settings: CloneSettings) -> None:
    """Check that the learner of the settings can adapt the base without recordings of the training speakers.

    Raises the errors of `choose_acoustic_learner`, `require_trained_tasks` and `check_used`.
    """
    choice = choose_acoustic_learner(base, settings)
    require_trained_tasks(choice, None)
    check_used(choice, settings)


def check_used(choice: LearnerChoice, settings: CloneSettings) -> None:
    """Raise UsageError for steps or modules of the acoustic model that the learner ignores."""
    learner = choice.learner_class
    vocoder_only = all(pattern.startswith(VOCODER_PREFIX) for pattern in settings.modules)
    used = {"steps": learner.iterative, "modules": learner.adapts != "none" or vocoder_only}
    _refuse_unused(choice, settings, used)


def _check_uses(chosen: LearnerChoice, settings: CloneSettings) -> None:
    """Raise UsageError for a setting that changes adaptation, but not that of this learner."""
    learned_steps = chosen.saved is not None and chosen.uses("step_lr")
    used = {"learning_rate": chosen.uses("inner_lr") and not learned_steps, "variance": chosen.uses("variance")}
    used["rank"] = chosen.learner_class.iterative and not chosen.uses("rank")
    _refuse_unused(chosen, settings, used)


def _refuse_unused(choice: LearnerChoice, settings: CloneSettings, used: Mapping[str, bool]) -> None:
    for name, is_used in used.items():
        if getattr(settings, name) not in (None, ()) and not is_used:
            own = "; its own setting of this name is in the settings of the learner" if choice.uses(name) else ""
            raise UsageError(f"learner '{choice.name}' does not use {name}; leave out {name}{own}")


def _of_saved(saved: SavedLearner) -> LearnerChoice:
    """Return the choice of a saved learner, with its scale of the prior. Raises UsageError for an unknown name."""
    if saved.learner not in LEARNERS:
        raise UsageError(f"the learner '{excerpt(saved.learner)}' is unknown; import the file that registers it first")
    chosen = LearnerChoice(saved.learner, saved.settings, saved)
    if not chosen.has_learned_prior:
        return chosen
    return replace(chosen, settings={**saved.settings, "prior_scale": saved.prior_scale})


def _prior_scale(chosen: LearnerChoice, settings: CloneSettings) -> dict[str, float]:
    if settings.prior_scale is None:
        return {}
    if not chosen.has_learned_prior:
        raise UsageError(
            "prior_scale scales the base's learned prior, but these settings do not use it; leave out prior_scale"
        )
    return {"prior_scale": settings.prior_scale}
