"""Computes the cache keys of voices and of their scores in the few-shot benchmark.

The cache folder and `cached_results` use these keys. The keys contain the versions of the code that makes and scores a
voice, so results of older code are not reused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from tts_meta.adapt import CloneSettings, chosen_modules
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.corpus import Utterance
from tts_meta.evaluate.few_shot.speaker_data import SpeakerData
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.files import sha256_file
from tts_meta.models.pretrained import Base
from tts_meta.synth.speak import SPEECH_VERSION

SCORING_VERSION = 3
"""Version of the scoring of a voice. Increase this version when the same voice would get other scores.

2: similarity is measured to sentences that no voice was adapted on. 3: the likelihood has the key `nll`.
"""
_SEPARATE = {"base", "prior", "isotropic", "prior_scale", "sentences", "steps", "auto_stop"}
"""Settings of a method that `voice_key` contains in another form or does not contain."""


def voice_key(method: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None) -> str:
    """Return the SHA-256 of everything that a voice depends on.

    The hash covers base and prior, vocoder, recordings and texts, settings, and code versions.
    """
    settings = method.model_dump(mode="json", exclude=_SEPARATE)
    if method.method == "clone" and steps == 0:  # every setting gives the mean voice of the base
        settings = {"modules": settings["modules"]}
    prior, learned = {}, base.prior if method.uses_prior else None
    if learned is not None:
        modules = () if method.modules else chosen_modules(base, CloneSettings()).names
        prior_scale = clone_settings(method, data, steps).prior_scale_for(base)
        prior = [learned.variances, modules, prior_scale, learned.rank]
    parts = [method.version(steps), base.hash, prior, *_vocoder_identity(data), settings, steps, data.seed]
    parts.append(data.frames_per_step)
    return _hash([*parts, _contents(data.adapt_on[:sentences])])


def scoring_key(data: SpeakerData) -> str:
    """Return 16 hexadecimal digits: a hash of everything that the scores of a voice depend on.

    The hash covers the scored sentences, the references, the metrics, the vocoder, and the code versions.
    """
    scorer = data.scorer
    metrics = sorted((name, metric.identity(scorer.settings)) for name, metric in scorer.metrics.items())
    parts = [SCORING_VERSION, SPEECH_VERSION, RECORDINGS_VERSION, metrics, *_vocoder_identity(data)]
    return _hash([*parts, _contents(data.references), _contents(data.score_on)])[:16]


def clone_settings(method: MethodConfig, data: SpeakerData, steps: int | None) -> CloneSettings:
    """Return the settings of the inner loop."""
    return CloneSettings(
        method.modules,
        steps,
        method.learning_rate,
        variance=method.variance,
        prior_scale=method.prior_scale,
        rank=method.rank,
        frames_per_step=data.frames_per_step,
        seed=data.seed,
    )


def _vocoder_identity(data: SpeakerData) -> tuple[str, str]:
    """Return the name of the vocoder, and the hash of its weights if the generator has one."""
    return data.vocoder.name, getattr(data.vocoder.generator, "hash", "")


def _contents(utterances: Sequence[Utterance]) -> list[tuple[str, str]]:
    return [(sha256_file(utterance.audio), utterance.text) for utterance in utterances]


def _hash(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
