"""The query loss of meta-training on the free-running speech of the adapted voice: words, voice and likelihood.

The likelihood of a sentence is teacher-forced: each step of the decoder reads the true frame before it. It rewards a
voice that continues the true frames, and does not measure whether the words are intelligible when the decoder reads its
own predictions. Here the model speaks the text of each query sentence with the durations of the recording, as
`AcousticModel.generate` does, postfilter included. All terms are in nats, and differentiable in the parameters.

words: -log p(phone | frame) of the base's frozen aligner, summed over the frames of phones.
voice: the frames of all query sentences, once as spoken and once as recorded, are two sets with the same phones. In
each set, a Gaussian with diagonal covariance is fitted to the mel-cepstral coefficients of the vowels, another to those
of the other phones, and one to ln F0 of the voiced frames of vowels. The term is the number of frames times
KL(spoken || recorded), the Kullback-Leibler divergence. It contains no trained speaker encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from tts_meta.adapt.acoustic_task import ADAPTATION_DENSITY, AcousticBatch, acoustic_nll
from tts_meta.config import Section
from tts_meta.meta.domain import LossFunction
from tts_meta.models.pretrained import Base
from tts_meta.models.prosody import soft_pitch

_CEPSTRUM = slice(1, 16)
"""Mel-cepstral coefficients of the voice: the spectral envelope. Coefficient 0 is the level; those from 16 contain the
harmonics, whose variance no model predicts."""
_MIN_VARIANCE = 1e-4
"""Smallest variance of a Gaussian, so that a constant value has a finite divergence."""
_MIN_FRAMES = 8
"""A class with fewer frames has no Gaussian."""


class QueryObjective(Section):
    """Weights of the terms of the query loss, all in nats (`adapt/speech_objective.py`)."""

    likelihood: float = Field(default=1.0, ge=0)
    """Weight of the negative log-likelihood of the query sentences, teacher-forced."""
    words: float = Field(default=0.0, ge=0)
    """Weight of the cross entropy of the phones in the aligner, given the free-running speech of the adapted model."""
    voice: float = Field(default=0.0, ge=0)
    """Weight of the divergence of the frames of free-running speech from the recorded frames."""

    @model_validator(mode="after")
    def _has_a_term(self) -> QueryObjective:
        if not (self.likelihood or self.words or self.voice):
            raise ValueError("has no term; give one of likelihood, words and voice a weight above 0")
        return self

    @property
    def is_likelihood(self) -> bool:
        """Whether the query loss is the likelihood alone, with the weight 1."""
        return (self.likelihood, self.words, self.voice) == (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class SpokenSentence:
    """Log-mels `(T, M)` of a query sentence, as spoken and as recorded, and the symbol of each frame, int64 `(T,)`."""

    spoken: Tensor
    recorded: Tensor
    symbols: Tensor


class SpeechObjective:
    """The terms of the query loss for batches of sentences (`AcousticBatch`), and their weighted sum."""

    def __init__(self, base: Base, weights: QueryObjective) -> None:
        self.base, self.weights = base, weights
        self._nll = acoustic_nll(base.acoustic, ADAPTATION_DENSITY)

    def __call__(self, call: Callable[..., Any], data: AcousticBatch | Sequence[AcousticBatch]) -> Tensor:
        """Return the weighted sum of the terms in nats, `()`; terms of weight 0 are not computed."""
        weights, terms = self.weights, list[Tensor]()
        if weights.likelihood:
            terms.append(weights.likelihood * self._nll(call, data))
        sentences = self.speak(call, data) if weights.words or weights.voice else []
        if weights.words:
            terms.append(weights.words * self.words(sentences))
        if weights.voice:
            terms.append(weights.voice * self.voice(sentences))
        return torch.stack(terms).sum()

    def speak(self, call: Callable[..., Any], data: AcousticBatch | Sequence[AcousticBatch]) -> list[SpokenSentence]:
        """Speak the sentences with the durations of the recordings. call: the model with the adapted parameters."""
        sentences, postfilter = list[SpokenSentence](), self.base.acoustic.postfilter
        for part in [data] if isinstance(data, AcousticBatch) else data:
            batch = part.batch
            mels = call(batch, part.cache, None, free_running=True).mel
            rows = zip(mels, batch.mel, batch.mel_lengths.tolist(), batch.tokens, batch.durations, strict=True)
            for spoken, recorded, length, tokens, durations in rows:
                symbols = tokens.repeat_interleave(durations)
                sentences.append(SpokenSentence(postfilter(spoken[:length]), recorded[:length], symbols))
        return sentences

    def words(self, sentences: Sequence[SpokenSentence]) -> Tensor:
        """Return -log p(phone | frame) of the spoken sentences, summed over the frames of phones, `()` nats."""
        aligner, silent, losses = self.base.aligner, self.base.silent.to(self.base.device), list[Tensor]()
        for sentence in sentences:
            mel, symbols = sentence.spoken.to(aligner.log_prior.dtype), sentence.symbols
            log_probs = aligner(mel[None], torch.tensor([len(mel)], device=mel.device))[0]
            of_frames = log_probs.gather(1, symbols[:, None]).squeeze(1)
            losses.append(-torch.where(silent[symbols], 0.0, of_frames).sum())
        return torch.stack(losses).sum()

    def voice(self, sentences: Sequence[SpokenSentence]) -> Tensor:
        """Return the divergence of the spoken from the recorded Gaussians, times the number of frames, `()` nats."""
        kinds, device = self.base.kinds, self.base.device
        spoken, recorded, symbols = (
            torch.cat([getattr(sentence, name) for sentence in sentences]) for name in ("spoken", "recorded", "symbols")
        )
        basis, config = self.base.acoustic.postfilter.basis[:, _CEPSTRUM], self.base.config.audio.mel
        vowels = kinds.vowel.to(device)[symbols].to(spoken)
        others = (1 - vowels) * (~kinds.silent.to(device)[symbols]).to(spoken)
        total = spoken.new_zeros(())
        for weight in (vowels, others):
            total = total + _divergence(spoken @ basis, weight, recorded @ basis, weight)
        (pitch, voicing), (true_pitch, true_voicing) = (soft_pitch(mel, config) for mel in (spoken, recorded))
        return total + _divergence(pitch[:, None], vowels * voicing, true_pitch[:, None], vowels * true_voicing)


def query_loss(base: Base, weights: QueryObjective) -> LossFunction | None:
    """Return the query loss with these weights; None for the likelihood alone, which is the loss of the support."""
    return None if weights.is_likelihood else SpeechObjective(base, weights)


def _divergence(spoken: Tensor, spoken_weight: Tensor, recorded: Tensor, recorded_weight: Tensor) -> Tensor:
    """Return frames times KL(spoken || recorded) of diagonal Gaussians fitted to `(T, K)`, `()` nats.

    spoken_weight, recorded_weight: weights of the frames, `(T,)`. The number of frames is the sum of the weights of the
    recording. The value is 0 if either set has fewer than `_MIN_FRAMES` frames.
    """
    if min(float(weight.detach().sum()) for weight in (spoken_weight, recorded_weight)) < _MIN_FRAMES:
        return spoken.new_zeros(())
    mean, variance = _moments(spoken, spoken_weight)
    true_mean, true_variance = _moments(recorded, recorded_weight)
    ratio = (variance + (mean - true_mean).square()) / true_variance
    return recorded_weight.sum() * 0.5 * (ratio - 1 - (variance / true_variance).log()).sum()


def _moments(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and variance `(K,)` of `values (T, K)` with the weights `(T,)`."""
    shares = (weight / weight.sum())[:, None]
    mean = (shares * values).sum(0)
    return mean, (shares * (values - mean).square()).sum(0) + _MIN_VARIANCE
