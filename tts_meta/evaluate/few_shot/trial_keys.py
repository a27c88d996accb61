"""Computes the cache keys of voices and of their scores in the few-shot benchmark.

The cache folder and `cached_results` use these keys. The keys contain the versions of the code that makes and scores a
voice, so results of older code are not reused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from tts_meta.adapt import CloneSettings, chosen_modules
from tts_meta.adapt.clone import CLONE_VERSION
from tts_meta.adapt.learner_choice import LearnerChoice, choose_acoustic_learner, choose_vocoder_learner
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.adapt.spectral_correction import SPECTRAL_CORRECTION_VERSION
from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.config import parse_settings
from tts_meta.corpus import Utterance
from tts_meta.corpus.audio_part import sha256_audio
from tts_meta.evaluate.few_shot.speaker_data import SpeakerData
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.training_speakers import TRAINING_SPEAKERS_VERSION, TrainingSpeakers
from tts_meta.meta import Params
from tts_meta.meta.solvers.stopping import STOPPING_VERSION
from tts_meta.models.pretrained import Base
from tts_meta.synth.speak import SPEECH_VERSION

SCORING_VERSION = 3
"""Version of the scoring of a voice. Increase this version when the same voice would get other scores.

2: similarity is measured to sentences that no voice was adapted on. 3: the likelihood has the key `nll`.
"""


def voice_key(method: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None) -> str:
    """Return the SHA-256 of everything that a voice depends on.

    The hash covers the weights of the base and of the vocoder, the adapted modules, the recordings and texts, the seed,
    and for each model that adapts: name, version, settings and meta-parameters of its learner, and the number of steps.
    It also covers the versions of the code.
    """
    settings = method.clone_settings(base, steps, data.frames_per_step, data.seed)
    modules = chosen_modules(base, settings, data.vocoder).names
    parts = [CLONE_VERSION, RECORDINGS_VERSION, base.hash, modules, *_acoustic_identity(base, settings, data)]
    if any(name.startswith(VOCODER_PREFIX) for name in modules):
        choice = choose_vocoder_learner(require_adaptable_vocoder(data.vocoder, base).generator, settings)
        parts += [_learner_identity(choice), settings.vocoder_steps, settings.crops_per_step]
    parts += [*_vocoder_identity(data), data.seed, data.frames_per_step, _contents(data.adapt_on[:sentences])]
    return _hash(parts)


def _acoustic_identity(base: Base, settings: CloneSettings, data: SpeakerData) -> list[object]:
    """Return what the adaptation of the acoustic model depends on, apart from base, modules and recordings."""
    choice = choose_acoustic_learner(base, settings)
    parts: list[object] = [_learner_identity(choice), settings.rank]
    if choice.learner_class.iterative:
        budget = choice.budget(settings.steps, settings.learning_rate is not None)
        parts += [budget.steps, STOPPING_VERSION if budget.stop_on_plateau else 0]
        parts += ["history_mixing", settings.history_mixing] if settings.history_mixing else []
    if "trained_tasks" in choice.learner_class.needs:
        parts.append(_training_identity(data.training_speakers))
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


def _training_identity(speakers: TrainingSpeakers | None) -> list[object]:
    """Return the names of training speakers, and the contents of their recordings."""
    recordings = {} if speakers is None else speakers.recordings
    return [TRAINING_SPEAKERS_VERSION, *((name, _contents(utterances)) for name, utterances in recordings.items())]


def scoring_key(data: SpeakerData) -> str:
    """Return 16 hexadecimal digits: a hash of everything that the scores of a voice depend on.

    The hash covers the scored sentences, the references, the metrics, the vocoder, and the code versions.
    """
    scorer = data.scorer
    metrics = sorted((name, metric.identity(scorer.settings)) for name, metric in scorer.metrics.items())
    parts = [SCORING_VERSION, SPEECH_VERSION, RECORDINGS_VERSION, metrics, *_vocoder_identity(data)]
    return _hash([*parts, _contents(data.references), _contents(data.score_on)])[:16]


def _vocoder_identity(data: SpeakerData) -> tuple[str, str]:
    """Return the name of the vocoder, and the hash of its weights if the generator has one."""
    return data.vocoder.name, getattr(data.vocoder.generator, "hash", "")


def _contents(utterances: Sequence[Utterance]) -> list[tuple[str, str]]:
    return [(sha256_audio(utterance.source), utterance.text) for utterance in utterances]


def _hash(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _hash_of_tensors(tensors: Params) -> str:
    """Return the SHA-256 of the names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
