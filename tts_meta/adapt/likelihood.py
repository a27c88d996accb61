"""Speakers as tasks of meta-learning: the likelihood of their sentences, and what inner steps see of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tts_meta.corpus import Batch, Example, collate
from tts_meta.meta import Task
from tts_meta.meta.problem import LossFunction
from tts_meta.models.acoustic import AcousticModel, Known
from tts_meta.models.base import Base
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.partition import Partition

FIXED_MODULES = ("speaker.offsets", "mel_log_scale", "duration_log_scale", "prosody_log_scale")
"""The table of training speakers and the likelihood's scales say nothing about a new speaker."""


@dataclass(frozen=True)
class Sentences:
    """Some sentences of a speaker, whose negative log-likelihood counts `weight` times.

    known: what no moving module feeds, computed once. dropout: whether the prenet draws, as inner steps have it.
    """

    batch: Batch
    known: Known
    weight: float = 1.0
    dropout: bool = False


def adaptable(base: Base) -> Partition:
    """Modules of the acoustic model that cloning may move, biases apart."""
    partition = Partition.by_layer(base.acoustic, biases_apart=True)
    return Partition(tuple(module for module in partition.modules if module.name not in FIXED_MODULES))


def acoustic_nll(model: AcousticModel) -> LossFunction:
    """-log p(mel, durations | text, θ) of `Sentences`, nats, a sum over frames and symbols (DESIGN, section 2)."""

    def loss(call: Callable[..., Any], data: Sentences) -> Tensor:
        model.decoder.train(data.dropout)
        try:
            return acoustic_loss(model, call(data.batch, data.known), data.batch).nll * data.weight
        finally:
            model.decoder.eval()

    return loss


class SpeakerSentences:
    """Aligned sentences of one speaker as inner steps and scores see them.

    changing: modules that move, in adaptation or in meta-training; what none of them feeds is computed once a sentence.
    """

    def __init__(self, base: Base, examples: Sequence[Example], changing: Sequence[str]) -> None:
        self.base, self.examples, self.changing = base, list(examples), tuple(changing)
        self.frames = sum(len(example.mel) for example in self.examples)
        self._known: dict[str, Known] = {}

    def whole(self) -> Sentences:
        """All sentences, without dropout."""
        return self._gather(self.examples)

    def task(self, query: Sentences | None, frames_per_step: int, seed: int, name: str = "") -> Task:
        """These sentences as support; each inner step draws some anew, until they hold `frames_per_step`.

        What is drawn, and the prenet's dropout, hang on `seed` alone: step 0 seeds torch too.
        """
        draws = random.Random(seed)

        def draw(step: int) -> Sentences:
            if step == 0:
                draws.seed(seed)
                torch.manual_seed(seed)
            return self._draw(draws, frames_per_step)

        return Task(self.whole(), query, draw, name)

    def _draw(self, draws: random.Random, frames: int) -> Sentences:
        """Sentences in random order until they hold `frames`, at least one, weighed as an estimate of the whole sum."""
        chosen, total = [], 0
        for example in draws.sample(self.examples, len(self.examples)):
            if chosen and total + len(example.mel) > frames:
                break
            chosen.append(example)
            total += len(example.mel)
        return self._gather(chosen, self.frames / total, dropout=True)

    def _gather(self, examples: Sequence[Example], weight: float = 1.0, dropout: bool = False) -> Sentences:
        known = Known.pad([self._precomputed(example) for example in examples])
        return Sentences(self._collate(examples), known, weight, dropout)

    def _precomputed(self, example: Example) -> Known:
        if example.id not in self._known:
            self._known[example.id] = self.base.acoustic.precompute(self._collate([example]), self.changing)
        return self._known[example.id]

    def _collate(self, examples: Sequence[Example]) -> Batch:
        speakers = dict.fromkeys((example.speaker for example in examples), -1)
        return collate(examples, speakers, self.base.acoustic.reduction)
