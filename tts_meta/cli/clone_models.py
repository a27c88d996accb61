"""The settings and the models of `tts-meta clone`, from its options."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_meta.errors import UsageError

if TYPE_CHECKING:
    from tts_meta.adapt import CloneSettings
    from tts_meta.models.pretrained import Base
    from tts_meta.models.vocoders.vocoder import Vocoder


def clone_settings(options: dict[str, Any]) -> CloneSettings:
    """The settings with the `options` that are not None. Raises UsageError for a number that is too small."""
    from tts_meta.adapt import CloneSettings
    from tts_meta.adapt.arguments import check_settings

    for name in ("learning_rate", "variance", "prior_scale"):
        if options[name] is not None and not options[name] > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0, not {options[name]}")
    names = {field.name for field in fields(CloneSettings)}
    settings = CloneSettings(**{name: value for name, value in options.items() if value is not None and name in names})
    check_settings(settings)
    return settings


def load_clone_base(folder: Path | None, settings: CloneSettings, device: str) -> Base:
    """The base in a folder or, without one, the base that the learner is in or the installed one.

    Raises TtsMetaError and UsageError if the learner of the settings does not fit the base.
    """
    from tts_meta.adapt.learner_choice import base_of_learner, check_learner
    from tts_meta.models.pretrained import load_base

    base = load_base(base_of_learner(settings.learner) if folder is None else folder, device)
    check_learner(base, settings)
    return base


def load_clone_vocoder(name: str | None, base: Base, settings: CloneSettings, needed_for_log: bool) -> Vocoder | None:
    """The vocoder that adapts or speaks the samples of the log; None if neither is asked for."""
    from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
    from tts_meta.models.vocoders.vocoder import load_vocoder

    if settings.adapts_vocoder:
        return require_adaptable_vocoder(load_vocoder(name, base.device), base)
    return load_vocoder(name, base.device, mel=base.config.audio.mel) if needed_for_log else None
