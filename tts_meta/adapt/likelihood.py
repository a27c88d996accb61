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
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.base import Base
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.partition import Partition

FIXED_MODULES = ("speaker.offsets", "mel_log_scale", "duration_log_scale")
"""The table of training speakers and the likelihood's scales say nothing about a new speaker."""


@dataclass(frozen=True)
class Sentences:
    """Some sentences of a speaker, whose negative log-likelihood counts `weight` times.

    hidden: the encoder's output `(B, N, D)` where no module before it adapts, computed once; None has it computed.
    """

    batch: Batch
    weight: float = 1.0
    hidden: Tensor | None = None


def adaptable(base: Base) -> Partition:
    """Modules of the acoustic model that cloning may move."""
    partition = Partition.by_layer(base.acoustic)
    return Partition(tuple(module for module in partition.modules if module.name not in FIXED_MODULES))


def acoustic_nll(model: AcousticModel) -> LossFunction:
    """-log p(mel, durations | text, θ) of `Sentences`, nats, a sum over frames and symbols (DESIGN, section 2)."""

    def loss(call: Callable[..., Any], data: Sentences) -> Tensor:
        return acoustic_loss(model, call(data.batch, data.hidden), data.batch).nll * data.weight

    return loss


class SpeakerSentences:
    """Aligned sentences of one speaker as inner steps and scores see them.

    Where none of the modules that adapt lies in the encoder, its output is computed once a sentence and kept.
    """

    def __init__(self, base: Base, examples: Sequence[Example], modules: Sequence[str]) -> None:
        self.base, self.examples = base, list(examples)
        self.frames = sum(len(example.mel) for example in self.examples)
        self._keeps = not any(name.startswith("encoder.") for name in modules)
        self._hidden: dict[str, Tensor] = {}

    def whole(self) -> Sentences:
        """All sentences."""
        return self._gather(self.examples, 1.0)

    def draw(self, draws: random.Random, frames: int) -> Sentences:
        """Sentences in random order until they hold `frames`, at least one, weighed as an estimate of the whole sum."""
        order = draws.sample(self.examples, len(self.examples))
        chosen, total = [], 0
        for example in order:
            if chosen and total + len(example.mel) > frames:
                break
            chosen.append(example)
            total += len(example.mel)
        return self._gather(chosen, self.frames / total)

    def task(self, query: Sentences | None, frames: int, seed: int, name: str = "") -> Task:
        """These sentences as support; inner steps draw `frames` of them, anew each, 0 takes all."""
        draws = random.Random(seed)
        return Task(self.whole(), query, (lambda step: self.draw(draws, frames)) if frames else None, name)

    def _gather(self, examples: Sequence[Example], weight: float) -> Sentences:
        speakers = dict.fromkeys((example.speaker for example in examples), -1)
        batch = collate(examples, speakers, self.base.acoustic.reduction)
        if not self._keeps:
            return Sentences(batch, weight)
        hidden = torch.nn.utils.rnn.pad_sequence([self._encoded(e) for e in examples], batch_first=True)
        return Sentences(batch, weight, hidden)

    @torch.no_grad()
    def _encoded(self, example: Example) -> Tensor:
        """The encoder's output of one sentence, `(N, D)`; the encoder must be in evaluation mode."""
        if example.id not in self._hidden:
            lengths = torch.tensor([len(example.tokens)])
            self._hidden[example.id] = self.base.acoustic.encoder(example.tokens[None], lengths)[0]
        return self._hidden[example.id]
