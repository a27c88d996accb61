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
from tts_meta.meta.domain import LossFunction
from tts_meta.models.acoustic import AcousticModel, ActivationCache
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base

FIXED_MODULES = ("speaker.offsets", "mel_log_scale", "duration_log_scale", "prosody_log_scale")
"""The table of training speakers and the likelihood's scales say nothing about a new speaker."""


@dataclass(frozen=True)
class AcousticBatch:
    """Some sentences of a speaker, whose negative log-likelihood counts `weight` times.

    known: what no moving module feeds, computed once. dropout_seed: seed of the prenet's dropout, which inner steps
    have; None is no dropout.
    """

    batch: Batch
    known: ActivationCache
    weight: float = 1.0
    dropout_seed: int | None = None


def adaptable(base: Base) -> Partition:
    """Modules of the acoustic model that cloning may move, biases apart."""
    partition = Partition.by_layer(base.acoustic, separate_biases=True)
    return Partition(tuple(module for module in partition.modules if module.name not in FIXED_MODULES))


def acoustic_nll(model: AcousticModel) -> LossFunction:
    """-log p(mel, durations | text, θ) of `AcousticBatch`, nats, a sum over frames and symbols (DESIGN, section 2).

    The loss is a function of θ and the data alone: it draws dropout from a generator of its own.
    """

    def loss(call: Callable[..., Any], data: AcousticBatch) -> Tensor:
        generator = None
        if data.dropout_seed is not None:
            generator = torch.Generator(data.batch.mel.device).manual_seed(data.dropout_seed)
        mode = model.decoder.training
        model.decoder.train(generator is not None)
        try:
            output = call(data.batch, data.known, generator)
            return acoustic_loss(model, output, data.batch).nll * data.weight
        finally:
            model.decoder.train(mode)

    return loss


class AcousticTask:
    """Aligned sentences of one speaker as inner steps and scores see them.

    changing: modules that move, in adaptation or in meta-training; what none of them feeds is computed once a sentence.
    """

    def __init__(self, base: Base, examples: Sequence[Example], changing: Sequence[str]) -> None:
        self.base, self.examples, self.changing = base, list(examples), tuple(changing)
        self.frames = sum(len(example.mel) for example in self.examples)
        self._known: dict[str, ActivationCache] = {}

    def whole(self) -> AcousticBatch:
        """All sentences, without dropout."""
        return self._gather(self.examples)

    def task(self, query: AcousticBatch | None, frames_per_step: int, seed: int, name: str = "") -> Task:
        """These sentences as support; each inner step draws some of them, until they hold `frames_per_step`.

        The sentences and the dropout of step k are a function of `seed` and k alone. No other generator is touched.
        """

        def draw(step: int) -> AcousticBatch:
            return self._draw(random.Random(f"{seed}/{step}"), frames_per_step)

        return Task(self.whole(), query, draw, name)

    def _draw(self, draws: random.Random, frames: int) -> AcousticBatch:
        """Sentences in random order until they hold `frames`, at least one, weighed as an estimate of the whole sum."""
        chosen, total = [], 0
        for example in draws.sample(self.examples, len(self.examples)):
            if chosen and total + len(example.mel) > frames:
                break
            chosen.append(example)
            total += len(example.mel)
        return self._gather(chosen, self.frames / total, draws.getrandbits(32))

    def _gather(
        self, examples: Sequence[Example], weight: float = 1.0, dropout_seed: int | None = None
    ) -> AcousticBatch:
        known = ActivationCache.pad([self._precomputed(example) for example in examples])
        return AcousticBatch(self._collate(examples), known, weight, dropout_seed)

    def _precomputed(self, example: Example) -> ActivationCache:
        if example.id not in self._known:
            self._known[example.id] = self.base.acoustic.precompute(self._collate([example]), self.changing)
        return self._known[example.id]

    def _collate(self, examples: Sequence[Example]) -> Batch:
        speakers = dict.fromkeys((example.speaker for example in examples), -1)
        return collate(examples, speakers, self.base.acoustic.reduction)
