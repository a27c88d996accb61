"""Scoring voices on real sentences of one speaker, beside the recordings and their copy-synthesis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tts_meta.audio import MelSpec, prepare_waveform, read_audio
from tts_meta.audio.io import Waveform
from tts_meta.corpus import Utterance
from tts_meta.evaluate.scores import Scorer, Scores
from tts_meta.evaluate.similarity import mean_embedding
from tts_meta.evaluate.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.base import Base
from tts_meta.models.manner import PLAIN, Manner
from tts_meta.models.vocoder import Vocoder
from tts_meta.synth import speak_text

REAL, COPY, OWN = "real recording", "copy-synthesis", "voice of the base"
REFERENCES = 5
"""Real sentences whose mean embedding a sentence is compared to, itself left out."""


@dataclass(frozen=True, eq=False)
class Spoken:
    """One scored sentence as one system says it: samples `(S,)` at `rate` and its scores."""

    utterance: Utterance
    system: str
    samples: Waveform
    rate: int
    scores: Scores


def score_voices(
    base: Base,
    voices: Mapping[str, tuple[AcousticModel, Vocoder]],
    vocoder: Vocoder,
    utterances: Sequence[Utterance],
    count: int,
    scorer: Scorer,
    references: Sequence[Utterance] = (),
    cache: Path | None = None,
    manner: Manner = PLAIN,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Spoken]:
    """The first `count` of one speaker's utterances as recorded, copied, and spoken by each voice, with scores.

    voices: by name, each the acoustic model and the vocoder that speak; `vocoder` makes the copies.
    Similarity is to the mean of `REFERENCES` of the `references`, or of the other utterances where there are none; it
    is left out where there is nothing to compare to. `cache`: as `Scorer.score` has it.
    `report` is told (sentences done, sentences in all). Raises TtsMetaError naming a recording that cannot be used.
    """
    rate = base.config.audio.mel.sample_rate
    mel_spec = MelSpec(base.config.audio.mel)
    embeddings = _embeddings(base, scorer, references or utterances[: max(count, REFERENCES + 1)])
    spoken: list[Spoken] = []
    for number, utterance in enumerate(utterances[:count]):
        real = _load(base, utterance)
        with torch.inference_mode():
            copy = vocoder(mel_spec(torch.from_numpy(real)[None]))[0].float().cpu().numpy()
        said = {REAL: (real, rate), COPY: (copy, vocoder.sample_rate)}
        for system, (model, its_vocoder) in voices.items():
            speech = speak_text(base, model, its_vocoder, utterance.text, manner=manner)
            said[system] = (speech.samples, speech.rate)
        others = [embedding for id, embedding in embeddings.items() if id != utterance.id][:REFERENCES]
        voice = mean_embedding(others) if others else None
        for system, (samples, its_rate) in said.items():
            reference = None if system == REAL else real
            scores = scorer.score(
                samples,
                its_rate,
                id=utterance.id,
                speaker=utterance.speaker,
                system=system,
                text=utterance.text,
                voice=voice,
                reference=reference,
                reference_rate=rate,
                cache=cache,
            )
            spoken.append(Spoken(utterance, system, samples, its_rate, scores))
        report(number + 1, count)
    return spoken


def score_own_voice(
    base: Base,
    speaker: int,
    vocoder: Vocoder,
    utterances: Sequence[Utterance],
    own: Sequence[Utterance],
    scorer: Scorer,
    cache: Path | None = None,
    manner: Manner = PLAIN,
) -> list[Spoken]:
    """Sentences of other speakers in the voice of the base's training speaker of number `speaker`, with scores.

    Similarity is to the mean of `own`, recordings of the training speaker; there is no recording of what is said.
    """
    embeddings = _embeddings(base, scorer, own)
    voice = mean_embedding(list(embeddings.values())) if embeddings else None
    spoken = []
    for utterance in utterances:
        said = dataclasses.replace(utterance, speaker=base.speakers[speaker])
        speech = speak_text(base, base.acoustic, vocoder, said.text, speaker=speaker, manner=manner)
        scores = scorer.score(
            speech.samples,
            speech.rate,
            id=said.id,
            speaker=said.speaker,
            system=OWN,
            text=said.text,
            voice=voice,
            cache=cache,
        )
        spoken.append(Spoken(said, OWN, speech.samples, speech.rate, scores))
    return spoken


def _load(base: Base, utterance: Utterance) -> Waveform:
    waveform = read_audio(utterance.audio, base.config.audio.mel.sample_rate)
    return prepare_waveform(waveform, base.config.audio, str(utterance.audio))


def _embeddings(base: Base, scorer: Scorer, utterances: Sequence[Utterance]) -> dict[str, Embedding]:
    """Of each recording, by id; none where similarity is not asked for."""
    if "similarity" not in scorer.metrics:
        return {}
    encoder = SpeakerEncoder.load(scorer.settings.device)
    rate = base.config.audio.mel.sample_rate
    return {one.id: encoder.embed(_load(base, one), rate) for one in utterances}
