"""`AcousticTask`: sentences of one speaker as a meta-learning task, with their likelihood under the acoustic model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from tts_meta.corpus import Batch, Example, collate, group_by_length
from tts_meta.corpus.segments import MIN_SEGMENT_SECONDS, PAUSE_SECONDS, segment_example
from tts_meta.meta import Outputs, Task
from tts_meta.meta.domain import InputFunction, LossFunction, OutputFunction
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.acoustic_output import AcousticOutput, ActivationCache
from tts_meta.models.densities import HYPERBOLIC_SECANT, LAPLACE, Density
from tts_meta.models.losses import acoustic_loss, outputs_with_curvature
from tts_meta.models.partition import DEFAULT_GRANULARITY, Granularity, Partition
from tts_meta.models.pretrained import Base

FIXED_MODULES = ("speaker.offsets", "mel_log_scale", "duration_log_scale", "prosody_log_scale")
"""Modules that never adapt: the offsets of the training speakers and the scales of the likelihood."""

ADAPTATION_DENSITY = HYPERBOLIC_SECANT
"""Density of the errors in adaptation and meta-training; `evaluate` measures the Laplace density of pretraining."""

Precision = Literal["float32", "bfloat16"]
"""Precision of the matrix products of inner steps."""

_SENTENCES_PER_BATCH = 4
"""Mean number of sentences in a batch of whole sentences."""
_FRAMES_PER_BATCH = 2400
"""Largest mean number of frames of the batches of all segments."""


@dataclass(frozen=True)
class AcousticBatch:
    """A batch of sentences, or of segments of sentences, of one speaker.

    cache: activations that do not depend on an adapted module and are computed once. weight: factor of the negative
    log-likelihood. dropout_seed: seed of the prenet's dropout in inner steps; None disables dropout. precision: with
    `bfloat16` the model runs under autocast, so its matrix products are in bfloat16; the loss is always in float32.
    history_mixing: probability that a step of the decoder reads a predicted frame in place of the true frame. history:
    the normalised frames `(B, T, M)` that the decoder reads, if they are fixed (`fix_history`).
    """

    batch: Batch
    cache: ActivationCache
    weight: float = 1.0
    dropout_seed: int | None = None
    precision: Precision = "float32"
    history_mixing: float = 0.0
    history: Tensor | None = None


def base_granularity(base: Base) -> Granularity:
    """Return the size of the modules of the base's learner, or `DEFAULT_GRANULARITY` without a learner."""
    return DEFAULT_GRANULARITY if base.learner is None else base.learner.granularity


def adaptable_modules(base: Base, granularity: Granularity | None = None) -> Partition:
    """Return the modules of the acoustic model that cloning can adapt.

    granularity: size of the modules; None is that of the base's learner.
    """
    partition = Partition.by_layer(base.acoustic, granularity=granularity or base_granularity(base))
    return Partition(tuple(module for module in partition.modules if module.name not in FIXED_MODULES))


def acoustic_nll(model: AcousticModel, density: Density = LAPLACE) -> LossFunction:
    """Return the loss -log p(mel, durations | text, θ) of an `AcousticBatch` in nats, summed over frames and symbols.

    The loss of several batches is the sum of their losses. The loss depends only on θ and the batches. The dropout is
    drawn from a generator whose seed is in the batch.
    """

    def loss(call: Callable[..., Any], data: AcousticBatch | Sequence[AcousticBatch]) -> Tensor:
        if not isinstance(data, AcousticBatch):
            return torch.stack([loss(call, batch) for batch in data]).sum()
        output = _teacher_forced(model, call, data)
        return acoustic_loss(model, output, data.batch, density).nll * data.weight

    return loss


def acoustic_outputs(model: AcousticModel, density: Density) -> OutputFunction:
    """Return the outputs of the loss of `acoustic_nll`, with their curvature.

    The outputs are mel, log-durations and prosody of an `AcousticBatch`. Those of several batches follow each other.
    """

    def outputs(call: Callable[..., Any], data: AcousticBatch | Sequence[AcousticBatch]) -> Outputs:
        if not isinstance(data, AcousticBatch):
            parts = [outputs(call, batch) for batch in data]
            return Outputs(torch.cat([p.values for p in parts]), torch.cat([p.curvature for p in parts]))
        values, curvature = outputs_with_curvature(model, _teacher_forced(model, call, data), data.batch, density)
        return Outputs(values, curvature * data.weight)

    return outputs


def fix_history(model: AcousticModel) -> InputFunction:
    """Return a function that computes the frames which the decoder reads, and stores them in the batches.

    The loss of batches with history mixing is then a smooth function of the parameters with an exact gradient, so that
    it has a minimum. Batches without history mixing are returned unchanged.
    """

    @torch.no_grad()
    def fix(call: Callable[..., Any], data: AcousticBatch | Sequence[AcousticBatch]) -> Any:
        if not isinstance(data, AcousticBatch):
            return tuple(fix(call, batch) for batch in data) if any(batch.history_mixing for batch in data) else data
        if not data.history_mixing:
            return data
        return replace(data, history=_teacher_forced(model, call, replace(data, history=None)).history)

    return fix


def with_history_mixing(data: Sequence[AcousticBatch], probability: float) -> tuple[AcousticBatch, ...]:
    """Return the batches with this probability of history mixing."""
    return tuple(replace(batch, history_mixing=probability) for batch in data)


def _teacher_forced(model: AcousticModel, call: Callable[..., Any], data: AcousticBatch) -> AcousticOutput:
    """Return the output of the teacher-forced pass, with the dropout and the precision of the batch."""
    generator = None
    if data.dropout_seed is not None:
        generator = torch.Generator().manual_seed(data.dropout_seed)
    mode = model.decoder.training
    model.decoder.train(generator is not None)
    try:
        with torch.autocast(data.batch.mel.device.type, torch.bfloat16, enabled=data.precision == "bfloat16"):
            if data.history_mixing:
                mixing = {"history_mixing": data.history_mixing, "history": data.history}
                return call(data.batch, data.cache, generator, **mixing)
            return call(data.batch, data.cache, generator)
    finally:
        model.decoder.train(mode)


class AcousticTask:
    """The aligned sentences of one speaker, from which inner steps draw batches of segments.

    changing_modules: names of the modules that change in adaptation or in meta-training. Activations that depend on
    none of these modules are computed once per sentence and once per segment. Batches are on the device of the base.
    """

    def __init__(self, base: Base, examples: Sequence[Example], changing_modules: Sequence[str]) -> None:
        self.base, self.examples, self.changing_modules = base, list(examples), tuple(changing_modules)
        self.frames = sum(len(example.mel) for example in self.examples)
        self._caches: dict[int, ActivationCache] = {}

    @cached_property
    def segments(self) -> list[Example]:
        """The sentences, cut at pauses into segments as in pretraining. Each frame is in exactly one segment.

        A segment has the id of its sentence.
        """
        frame = self.base.config.audio.mel.frame_seconds
        shortest, pause = round(MIN_SEGMENT_SECONDS / frame), max(1, round(PAUSE_SECONDS / frame))
        silent = self.base.silent
        return [
            replace(segment, id=example.id)
            for example in self.examples
            for segment in segment_example(example, silent, shortest, pause)
        ]

    def all_segments(self, seed: int) -> tuple[AcousticBatch, ...]:
        """Return batches of all segments, with one draw of the prenet's dropout that depends on `seed`.

        Segments of similar length are in one batch.
        """
        lengths, generator = [len(segment.mel) for segment in self.segments], random.Random(f"{seed}/segments")
        groups = group_by_length(lengths, min(len(lengths), -(-self.frames // _FRAMES_PER_BATCH)))
        return tuple(
            self._gather([self.segments[index] for index in group], dropout_seed=generator.getrandbits(32))
            for group in groups
        )

    def all_sentences(self) -> tuple[AcousticBatch, ...]:
        """Return batches of all whole sentences, without dropout. Sentences of similar length are in one batch."""
        lengths = [len(example.mel) for example in self.examples]
        groups = group_by_length(lengths, -(-len(lengths) // _SENTENCES_PER_BATCH))
        return tuple(self._gather([self.examples[index] for index in group]) for group in groups)

    def task(
        self,
        query: Sequence[AcousticBatch] | None,
        frames_per_step: int,
        seed: int,
        name: str = "",
        precision: Precision = "float32",
        history_mixing: float = 0.0,
    ) -> Task:
        """Return a task whose support set is these sentences, cut into segments.

        frames_per_step: number of frames of an inner step. The segments are divided into n groups of about this many
        frames, and each inner step takes one group. After n steps each segment was used once, and the next groups are
        drawn. The weight of a group is n, so the mean loss of these n steps is the loss of all segments. The segments
        and the dropout of step k depend only on `seed` and k. The global random generators are not used. precision:
        that of the inner steps; the support and query sets keep float32, so that Hessian products and the query
        gradient do. history_mixing: that of the inner steps; the support and query sets are without it.
        """

        def draw(step: int) -> AcousticBatch:
            batch = self._draw(step, frames_per_step, seed)
            return replace(batch, precision=precision, history_mixing=history_mixing)

        return Task(self.all_segments(seed), query, draw, name)

    def _draw(self, step: int, frames: int, seed: int) -> AcousticBatch:
        """Return the group of segments of an inner step. frames: number of frames of a group, approximately."""
        lengths = [len(segment.mel) for segment in self.segments]
        count = min(len(lengths), max(1, round(self.frames / frames)))
        pass_number, number = divmod(step, count)
        group = group_by_length(lengths, count, random.Random(f"{seed}/{pass_number}"))[number]
        dropout_seed = random.Random(f"{seed}/{step}").getrandbits(32)
        return self._gather([self.segments[index] for index in group], float(count), dropout_seed)

    def _gather(
        self, examples: Sequence[Example], weight: float = 1.0, dropout_seed: int | None = None
    ) -> AcousticBatch:
        cache = ActivationCache.pad([self._precomputed(example) for example in examples])
        return AcousticBatch(self._collate(examples), cache, weight, dropout_seed)

    def _precomputed(self, example: Example) -> ActivationCache:
        key = id(example)  # the segments of a sentence have its name
        if key not in self._caches:
            batch = self._collate([example])
            self._caches[key] = self.base.acoustic.precompute(batch, self.changing_modules)
        return self._caches[key]

    def _collate(self, examples: Sequence[Example]) -> Batch:
        speakers = dict.fromkeys((example.speaker for example in examples), -1)
        return collate(examples, speakers, self.base.acoustic.reduction).to(self.base.device)
