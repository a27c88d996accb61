"""`voice_key`: a hash of everything that a voice depends on, by which a voice that exists already is recognised.

The key contains the versions of the code, so a voice of older code is not used again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from tts_meta.adapt.clone import CLONE_VERSION, chosen_modules
from tts_meta.adapt.learner_choice import LearnerChoice, choose_acoustic_learner, choose_vocoder_learner
from tts_meta.adapt.recordings import RECORDINGS_VERSION, Recording
from tts_meta.adapt.settings import CloneSettings
from tts_meta.adapt.spectral_correction import SPECTRAL_CORRECTION_VERSION
from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.config import parse_settings
from tts_meta.corpus.audio_part import sha256_audio
from tts_meta.meta import Params
from tts_meta.meta.learners.lbfgs_adaptation import ROUND
from tts_meta.meta.solvers.stopping import STOPPING_VERSION
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.vocoder import Vocoder


def voice_key(
    base: Base,
    settings: CloneSettings,
    vocoder: Vocoder | None,
    recordings: Sequence[Recording],
    training_speakers: object = None,
) -> str:
    """Return the SHA-256 of everything that a voice depends on.

    The hash covers the weights of the base and of the vocoder, the adapted modules, the recordings and texts, the seed,
    and for each model that adapts: name, version, settings and meta-parameters of its learner, and the number of steps.
    It also covers the versions of the code. vocoder: None if the settings adapt no module of it. training_speakers:
    what a learner that needs the training speakers depends on, as plain data.
    """
    modules = chosen_modules(base, settings, vocoder).names
    parts = [CLONE_VERSION, RECORDINGS_VERSION, base.hash, modules]
    parts += _acoustic_identity(base, settings, training_speakers)
    if any(name.startswith(VOCODER_PREFIX) for name in modules):
        choice = choose_vocoder_learner(require_adaptable_vocoder(vocoder, base).generator, settings)
        parts += [_learner_identity(choice), settings.vocoder_steps, settings.crops_per_step]
    parts += [*vocoder_identity(vocoder), settings.seed, settings.frames_per_step, contents(recordings)]
    return hash_of(parts)


def vocoder_identity(vocoder: Vocoder | None) -> tuple[str, str]:
    """Return the name of the vocoder, and the hash of its weights if the generator has one."""
    return ("", "") if vocoder is None else (vocoder.name, getattr(vocoder.generator, "hash", ""))


def contents(recordings: Sequence[Recording]) -> list[tuple[str, str]]:
    """Return the hash of the audio and the text of each recording."""
    return [(sha256_audio(recording.audio), recording.text) for recording in recordings]


def hash_of(parts: Sequence[object]) -> str:
    """Return the SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _acoustic_identity(base: Base, settings: CloneSettings, training_speakers: object) -> list[object]:
    """Return what the adaptation of the acoustic model depends on, apart from base, modules and recordings."""
    choice = choose_acoustic_learner(base, settings)
    parts: list[object] = [_learner_identity(choice), settings.rank]
    if choice.learner_class.iterative:
        budget = choice.budget(settings.steps, settings.learning_rate is not None)
        parts += [budget.steps, STOPPING_VERSION if budget.stop_on_plateau else 0]
        if settings.history_mixing:
            parts += ["history_mixing", settings.history_mixing, *([ROUND] if choice.minimises else [])]
    if "trained_tasks" in choice.learner_class.needs:
        parts.append(training_speakers)
    if settings.spectral_correction:
        parts += [SPECTRAL_CORRECTION_VERSION, settings.spectral_correction]
    return parts


def _learner_identity(choice: LearnerChoice) -> list[object]:
    """Return the name of a learner, the version of its class, its settings and, if it is saved, its meta-parameters."""
    learner = choice.learner_class
    settings = parse_settings(choice.settings, learner.Settings, f"learner '{choice.name}'").model_dump(mode="json")
    parts: list[object] = [choice.name, learner.version, settings]
    if (saved := choice.saved) is not None:
        parts += [saved.modules, saved.shared, saved.rank, _hash_of_tensors(saved.tensors)]
    return parts


def _hash_of_tensors(tensors: Params) -> str:
    """Return the SHA-256 of the names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
