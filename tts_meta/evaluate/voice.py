"""Scoring one voice on real sentences of its speaker, beside the recordings and their copy-synthesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from tts_meta.audio import MelSpec, prepare_waveform, read_audio
from tts_meta.corpus import Utterance
from tts_meta.evaluate.scores import Scorer, Scores
from tts_meta.evaluate.similarity import mean_embedding
from tts_meta.evaluate.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.base import Base
from tts_meta.models.vocoder import Vocoder
from tts_meta.synth import speak_text

REAL, COPY, VOICE = "real recording", "copy-synthesis", "voice"
REFERENCES = 5
"""Real sentences whose mean embedding a sentence is compared to, itself left out."""


def score_voice(
    base: Base,
    model: AcousticModel,
    vocoder: Vocoder,
    utterances: Sequence[Utterance],
    count: int,
    scorer: Scorer,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Scores]:
    """Scores of the first `count` of one speaker's utterances, as recorded, copied and spoken by `model`.

    `report` is told (sentences done, sentences in all). Similarity is left out where there is no other recording to compare to. Raises TtsMetaError naming a recording that
    cannot be used.
    """
    rate = base.config.audio.mel.sample_rate
    mel_spec = MelSpec(base.config.audio.mel)
    encoder = SpeakerEncoder.load(scorer.settings.device) if "similarity" in scorer.metrics else None
    real = [
        prepare_waveform(read_audio(one.audio, rate), base.config.audio, str(one.audio))
        for one in utterances[: max(count, REFERENCES + 1)]
    ]
    embeddings = [encoder.embed(samples, rate) for samples in real] if encoder is not None else []
    rows: list[Scores] = []
    for number, utterance in enumerate(utterances[:count]):
        with torch.inference_mode():
            copy = vocoder(mel_spec(torch.from_numpy(real[number])[None]))[0].float().cpu().numpy()
        spoken = speak_text(base, model, vocoder, utterance.text)
        said = {
            REAL: (real[number], rate),
            COPY: (copy, vocoder.sample_rate),
            VOICE: (np.asarray(spoken.samples), spoken.rate),
        }
        for system, (samples, its_rate) in said.items():
            rows.append(
                scorer.score(
                    samples,
                    its_rate,
                    id=utterance.id,
                    speaker=utterance.speaker,
                    system=system,
                    text=utterance.text,
                    voice=_others(embeddings, number),
                    reference=None if system == REAL else real[number],
                    reference_rate=rate,
                )
            )
        report(number + 1, count)
    return rows


def _others(embeddings: Sequence[Embedding], number: int) -> Embedding | None:
    others = [*embeddings[:number], *embeddings[number + 1 :]][:REFERENCES]
    return mean_embedding(others) if others else None
