"""Scores voices of one speaker, together with the real recordings of the sentences and their copy-synthesis."""

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
from tts_meta.evaluate.similarity import Encoder, voice_embedding
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.ecapa_encoder import EcapaEncoder
from tts_meta.models.pretrained import Base
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels
from tts_meta.synth import speak_text

REAL, COPY, TRAINING = "real recording", "copy-synthesis", "synthesised, training speakers"
REFERENCES = 5
"""Number of real sentences in the mean embedding that similarity is measured to.

These sentences are neither adapted on nor scored.
"""


@dataclass(frozen=True, eq=False)
class Spoken:
    """One sentence by one system: samples `(S,)` at `rate` Hz and their scores.

    voice: name of the voices that it is compared with; empty if that is the speaker.
    """

    utterance: Utterance
    system: str
    samples: Waveform
    rate: int
    scores: Scores
    voice: str = ""


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
    """Score the recordings of one speaker's utterances, their copy-synthesis, and the same sentences in each voice.

    An utterance without a recording is only spoken, and metrics that compare with the recording are left out.
    voices: acoustic model and vocoder by name. vocoder: makes the copy-synthesis. references: recordings that no
    voice was adapted on and that are not scored. Similarity is measured to the mean embedding of the references.
    Without references, similarity is left out. cache: see `Scorer.score`. report: called with the number of scored
    sentences and the number of all sentences. Raises UsageError with the path of a reference that is also scored.
    Raises TtsMetaError with the path of a recording that cannot be used.
    """
    check_disjoint(references, utterances)
    check_mels(vocoder, base.config.audio.mel)
    rate = base.config.audio.mel.sample_rate
    mel_spec = MelSpec(base.config.audio.mel)
    reference_voices = _reference_voices(base, scorer, references)
    spoken: list[Spoken] = []
    for number, utterance in enumerate(utterances):
        real = _load(base, utterance) if utterance.has_audio else None
        audio: dict[str, tuple[Waveform, int]] = {}
        if real is not None:
            with torch.inference_mode():
                copy = vocoder(mel_spec(torch.from_numpy(real)[None]))[0].float().cpu().numpy()
            audio = {REAL: (real, rate), COPY: (copy, vocoder.sample_rate)}
        for system, (model, voice_vocoder) in voices.items():
            speech = speak_text(base, model, voice_vocoder, utterance.text, options=options)
            audio[system] = (speech.samples, speech.rate)
        for system, (samples, samples_rate) in audio.items():
            reference = None if system == REAL else real
            scores = scorer.score(
                samples,
                samples_rate,
                id=utterance.id,
                speaker=utterance.speaker,
                system=system,
                text=utterance.text,
                voice=reference_voices.get("voice"),
                ecapa_voice=reference_voices.get("ecapa_voice"),
                reference=reference,
                reference_rate=rate,
                cache=cache,
            )
            spoken.append(Spoken(utterance, system, samples, samples_rate, scores))
        report(number + 1, len(utterances))
    return spoken


def split_references(utterances: Sequence[Utterance], count: int) -> tuple[list[Utterance], list[Utterance]]:
    """Return the first `count` sentences, to score, and up to `REFERENCES` others, to measure similarity to.

    If there are too few sentences for both, at most half are references. A single sentence is scored without
    similarity.
    """
    references = min(REFERENCES, max(len(utterances) - count, len(utterances) // 2))
    scored = min(count, len(utterances) - references)
    return list(utterances[:scored]), list(utterances[scored : scored + references])


def check_disjoint(references: Sequence[Utterance], others: Sequence[Utterance]) -> None:
    """Raise UsageError with the path of a recording that is in both lists.

    Such a recording would distort the similarity.
    """
    scored = {utterance.source for utterance in others}
    for reference in references:
        if reference.source in scored:
            raise UsageError(
                f"{reference.source} is a reference for similarity and is scored too; use other references"
            )


def score_training_speaker(
    base: Base,
    speaker: int,
    vocoder: Vocoder,
    utterances: Sequence[Utterance],
    references: Sequence[Utterance],
    scorer: Scorer,
    cache: Path | None = None,
    options: SynthesisOptions = DEFAULT,
) -> list[Spoken]:
    """Score sentences of other speakers in the voice of the training speaker with index `speaker`.

    references: recordings of the training speaker. Similarity is measured to their mean embedding. There is no
    recording of the sentences by this speaker, so metrics that need one are left out.
    """
    reference_voices = _reference_voices(base, scorer, references)
    spoken = []
    for utterance in utterances:
        sentence = dataclasses.replace(utterance, speaker=base.speakers[speaker])
        speech = speak_text(base, base.acoustic, vocoder, sentence.text, speaker=speaker, options=options)
        scores = scorer.score(
            speech.samples,
            speech.rate,
            id=sentence.id,
            speaker=sentence.speaker,
            system=TRAINING,
            text=sentence.text,
            voice=reference_voices.get("voice"),
            ecapa_voice=reference_voices.get("ecapa_voice"),
            cache=cache,
        )
        spoken.append(Spoken(sentence, TRAINING, speech.samples, speech.rate, scores))
    return spoken


def _load(base: Base, utterance: Utterance) -> Waveform:
    waveform = read_audio(utterance.source, base.config.audio.mel.sample_rate)
    return prepare_waveform(waveform, base.config.audio, str(utterance.source))


def _reference_voices(base: Base, scorer: Scorer, references: Sequence[Utterance]) -> dict[str, Embedding]:
    """Return the mean embedding of the references by its name in `Sample`, for each similarity metric of the scorer.

    The result is empty without references.
    """
    if not references:
        return {}
    rate, device = base.config.audio.mel.sample_rate, scorer.settings.device
    encoders: dict[str, Encoder] = {}
    if "similarity" in scorer.metrics:
        encoders["voice"] = SpeakerEncoder.load(device)
    if "similarity_ecapa" in scorer.metrics:
        encoders["ecapa_voice"] = EcapaEncoder.load(device)
    recordings = [(_load(base, reference), rate) for reference in references] if encoders else []
    return {name: voice_embedding(encoder, recordings) for name, encoder in encoders.items()}
