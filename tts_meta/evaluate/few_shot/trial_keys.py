"""Computes the cache keys of voices and of their scores in the few-shot benchmark.

The cache folder and `cached_results` use these keys. The keys contain the versions of the code that makes and scores a
voice, so results of older code are not reused.
"""

from __future__ import annotations

from collections.abc import Sequence

from tts_meta.adapt import Recording
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.adapt.voice_key import contents, hash_of, vocoder_identity
from tts_meta.adapt.voice_key import voice_key as key_of_voice
from tts_meta.corpus import Utterance
from tts_meta.evaluate.few_shot.speaker_data import SpeakerData
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.training_speakers import TRAINING_SPEAKERS_VERSION, TrainingSpeakers
from tts_meta.models.pretrained import Base
from tts_meta.synth.speak import SPEECH_VERSION

SCORING_VERSION = 3
"""Version of the scoring of a voice. Increase this version when the same voice would get other scores.

2: similarity is measured to sentences that no voice was adapted on. 3: the likelihood has the key `nll`.
"""


def voice_key(method: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None) -> str:
    """Return the SHA-256 of everything that a voice depends on, as `tts_meta.adapt.voice_key`."""
    settings = method.clone_settings(base, steps, data.frames_per_step, data.seed)
    training = _training_identity(data.training_speakers)
    return key_of_voice(base, settings, data.vocoder, recordings_of(data.adapt_on[:sentences]), training)


def scoring_key(data: SpeakerData) -> str:
    """Return 16 hexadecimal digits: a hash of everything that the scores of a voice depend on.

    The hash covers the scored sentences, the references, the metrics, the vocoder, and the code versions. A scored
    sentence without a recording is covered by its id and its text.
    """
    scorer = data.scorer
    metrics = sorted((name, metric.identity(scorer.settings)) for name, metric in scorer.metrics.items())
    parts = [SCORING_VERSION, SPEECH_VERSION, RECORDINGS_VERSION, metrics, *vocoder_identity(data.vocoder)]
    scored = [
        contents(recordings_of([utterance]))[0] if utterance.has_audio else (utterance.id, utterance.text)
        for utterance in data.score_on
    ]
    return hash_of([*parts, contents(recordings_of(data.references)), scored])[:16]


def recordings_of(utterances: Sequence[Utterance]) -> list[Recording]:
    """Return the recordings of utterances with their texts."""
    return [Recording(utterance.source, utterance.text) for utterance in utterances]


def _training_identity(speakers: TrainingSpeakers | None) -> list[object]:
    """Return the names of training speakers, and the contents of their recordings."""
    recordings = {} if speakers is None else speakers.recordings
    rows = ((name, contents(recordings_of(utterances))) for name, utterances in recordings.items())
    return [TRAINING_SPEAKERS_VERSION, *rows]
