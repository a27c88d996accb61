"""Scoring voices on real sentences of one speaker, beside the recordings and their copy-synthesis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tts_meta.audio import MelSpec, prepare_waveform, read_audio
from tts_meta.audio.io import Waveform
from tts_meta.context import default_torch_state
from tts_meta.corpus import Utterance
from tts_meta.errors import UsageError
from tts_meta.evaluate.scores import Scorer, Scores
from tts_meta.evaluate.similarity import mean_embedding
from tts_meta.evaluate.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels
from tts_meta.synth import speak_text

REAL, COPY, OWN = "real recording", "copy-synthesis", "voice of the base"
REFERENCES = 5
"""Real sentences whose mean embedding a sentence is compared to. None of them is adapted on or scored."""


@dataclass(frozen=True, eq=False)
class Spoken:
    """One scored sentence as one system says it: samples `(S,)` at `rate` and its scores."""

    utterance: Utterance
    system: str
    samples: Waveform
    rate: int
    scores: Scores


@default_torch_state(preserve_rng=True)
def score_voices(
    base: Base,
    voices: Mapping[str, tuple[AcousticModel, Vocoder]],
    vocoder: Vocoder,
    utterances: Sequence[Utterance],
    scorer: Scorer,
    references: Sequence[Utterance],
    cache: Path | None = None,
    options: SynthesisOptions = DEFAULT,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Spoken]:
    """One speaker's utterances as recorded, copied, and spoken by each voice, with scores.

    voices: by name, each the acoustic model and the vocoder that speak; `vocoder` makes the copies.
    Similarity is to the mean of the `references`, recordings that no voice was adapted on and that are not among the
    utterances; it is left out where there are none. `cache`: as `Scorer.score` has it. `report` is told (sentences
    done, sentences in all). Raises UsageError naming a reference that is also scored, TtsMetaError naming a recording
    that cannot be used.
    """
    check_disjoint(references, utterances)
    check_mels(vocoder, base.config.audio.mel)
    rate = base.config.audio.mel.sample_rate
    mel_spec = MelSpec(base.config.audio.mel)
    embeddings = _embeddings(base, scorer, references)
    voice = mean_embedding(embeddings) if embeddings else None
    spoken: list[Spoken] = []
    for number, utterance in enumerate(utterances):
        real = _load(base, utterance)
        with torch.inference_mode():
            copy = vocoder(mel_spec(torch.from_numpy(real)[None]))[0].float().cpu().numpy()
        said = {REAL: (real, rate), COPY: (copy, vocoder.sample_rate)}
        for system, (model, its_vocoder) in voices.items():
            speech = speak_text(base, model, its_vocoder, utterance.text, options=options)
            said[system] = (speech.samples, speech.rate)
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
        report(number + 1, len(utterances))
    return spoken


def split_references(utterances: Sequence[Utterance], count: int) -> tuple[list[Utterance], list[Utterance]]:
    """Sentences to score, the first `count` or fewer, and up to `REFERENCES` others that similarity is measured to.

    Where there are too few for both, at most half are references; a single sentence is scored without similarity.
    """
    references = min(REFERENCES, max(len(utterances) - count, len(utterances) // 2))
    scored = min(count, len(utterances) - references)
    return list(utterances[:scored]), list(utterances[scored : scored + references])


def check_disjoint(references: Sequence[Utterance], others: Sequence[Utterance]) -> None:
    """Raise UsageError naming a recording that is in both, which would raise or distort its similarity."""
    taken = {one.audio for one in others}
    for one in references:
        if one.audio in taken:
            raise UsageError(f"{one.audio}: similarity is measured to it and it is scored; use other references")


def score_own_voice(
    base: Base,
    speaker: int,
    vocoder: Vocoder,
    utterances: Sequence[Utterance],
    own: Sequence[Utterance],
    scorer: Scorer,
    cache: Path | None = None,
    options: SynthesisOptions = DEFAULT,
) -> list[Spoken]:
    """Sentences of other speakers in the voice of the base's training speaker of number `speaker`, with scores.

    Similarity is to the mean of `own`, recordings of the training speaker; there is no recording of what is said.
    """
    embeddings = _embeddings(base, scorer, own)
    voice = mean_embedding(embeddings) if embeddings else None
    spoken = []
    for utterance in utterances:
        said = dataclasses.replace(utterance, speaker=base.speakers[speaker])
        speech = speak_text(base, base.acoustic, vocoder, said.text, speaker=speaker, options=options)
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


def _embeddings(base: Base, scorer: Scorer, utterances: Sequence[Utterance]) -> list[Embedding]:
    """Of each recording; none where similarity is not asked for."""
    if "similarity" not in scorer.metrics:
        return []
    encoder = SpeakerEncoder.load(scorer.settings.device)
    rate = base.config.audio.mel.sample_rate
    return [encoder.embed(_load(base, one), rate) for one in utterances]
