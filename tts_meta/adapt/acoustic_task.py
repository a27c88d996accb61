"""`AcousticTask`: sentences of one speaker as a meta-learning task, with their likelihood under the acoustic model."""

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
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.acoustic_output import ActivationCache
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base

FIXED_MODULES = ("speaker.offsets", "mel_log_scale", "duration_log_scale", "prosody_log_scale")
"""Modules that never adapt: the offsets of training speakers and the scales of the likelihood."""


@dataclass(frozen=True)
class AcousticBatch:
    """Sentences of a speaker, whose negative log-likelihood is multiplied by `weight`.

    cache: activations that do not depend on an adapted module, computed once. dropout_seed: seed of the prenet's
    dropout in inner steps; None disables dropout.
    """

    batch: Batch
    cache: ActivationCache
    weight: float = 1.0
    dropout_seed: int | None = None


def adaptable_modules(base: Base) -> Partition:
    """Modules of the acoustic model that cloning can adapt; biases are modules of their own."""
    partition = Partition.by_layer(base.acoustic, separate_biases=True)
    return Partition(tuple(module for module in partition.modules if module.name not in FIXED_MODULES))


def acoustic_nll(model: AcousticModel) -> LossFunction:
    """-log p(mel, durations | text, θ) of an `AcousticBatch`: nats, a sum over frames and symbols.

    The loss depends on θ and the batch only: dropout is drawn from a generator seeded by the batch.
    """

    def loss(call: Callable[..., Any], data: AcousticBatch) -> Tensor:
        generator = None
        if data.dropout_seed is not None:
            generator = torch.Generator(data.batch.mel.device).manual_seed(data.dropout_seed)
        mode = model.decoder.training
        model.decoder.train(generator is not None)
        try:
            output = call(data.batch, data.cache, generator)
            return acoustic_loss(model, output, data.batch).nll * data.weight
        finally:
            model.decoder.train(mode)

    return loss


class AcousticTask:
    """Aligned sentences of one speaker.

    changing_modules: names of the modules that change in adaptation or in meta-training. Activations that depend on
    none of them are computed once per sentence.
    """

    def __init__(self, base: Base, examples: Sequence[Example], changing_modules: Sequence[str]) -> None:
        self.base, self.examples, self.changing_modules = base, list(examples), tuple(changing_modules)
        self.frames = sum(len(example.mel) for example in self.examples)
        self._caches: dict[str, ActivationCache] = {}

    def all_sentences(self) -> AcousticBatch:
        """All sentences, without dropout."""
        return self._gather(self.examples)

    def task(self, query: AcousticBatch | None, frames_per_step: int, seed: int, name: str = "") -> Task:
        """A task with these sentences as support; each inner step draws sentences of `frames_per_step` frames in all.

        The sentences and the dropout of step k depend on `seed` and k only. No global generator is used.
        """

        def draw(step: int) -> AcousticBatch:
            return self._draw(random.Random(f"{seed}/{step}"), frames_per_step)

        return Task(self.all_sentences(), query, draw, name)

    def _draw(self, generator: random.Random, frames: int) -> AcousticBatch:
        """Sentences in random order, at most `frames` in all but at least one sentence.

        The weight makes the loss an estimate of the sum over all sentences.
        """
        chosen, total = [], 0
        for example in generator.sample(self.examples, len(self.examples)):
            if chosen and total + len(example.mel) > frames:
                break
            chosen.append(example)
            total += len(example.mel)
        return self._gather(chosen, self.frames / total, generator.getrandbits(32))

    def _gather(
        self, examples: Sequence[Example], weight: float = 1.0, dropout_seed: int | None = None
    ) -> AcousticBatch:
        cache = ActivationCache.pad([self._precomputed(example) for example in examples])
        return AcousticBatch(self._collate(examples), cache, weight, dropout_seed)

    def _precomputed(self, example: Example) -> ActivationCache:
        if example.id not in self._caches:
            batch = self._collate([example])
            self._caches[example.id] = self.base.acoustic.precompute(batch, self.changing_modules)
        return self._caches[example.id]

    def _collate(self, examples: Sequence[Example]) -> Batch:
        speakers = dict.fromkeys((example.speaker for example in examples), -1)
        return collate(examples, speakers, self.base.acoustic.reduction)
