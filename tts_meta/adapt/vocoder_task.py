"""The sound of a speaker as a task of meta-learning: how far what the vocoder makes of mels is from what was recorded.

A recording's likelihood is that of its mel given the text, which the acoustic model answers for, times that of its
sound given the mel, which the vocoder answers for: neither has a part in the other's, so each adapts by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tts_meta.adapt.voice import VOCODER
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Task
from tts_meta.meta.domain import LossFunction
from tts_meta.models.partition import Module, Partition
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.source_filter import EDGE_FRAMES, Pitch, SourceFilterGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.spectral_loss import spectra, spectral_energy_distance
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels

_CROP_FRAMES = 64
_FEWEST_FRAMES = 8
"""A crop without its edges must hold the longest window of the spectra."""
_REPULSION = 0.2
"""As in the last stage of the vocoder's training: a little less noise than speech has sounds better."""


@dataclass(frozen=True)
class VocoderTaskBatch:
    """Crops of a speaker's recordings: mel `(B, T, M)`, its pitch, samples `(B, T * hop)`; it counts `weight` times.

    phase `(B,)` and noises `(2, B, T * hop)` are what two makings of them begin with.
    """

    mel: Tensor
    pitch: Pitch
    samples: Tensor
    phase: Tensor
    noises: Tensor
    weight: float


def adaptable_sound(vocoder: Vocoder) -> Partition:
    """Modules of a light vocoder that cloning may move, named with the prefix `VOCODER`; none of other vocoders.

    Pitch is not among them: it is told by labels, not by a spectrum.
    """
    if not isinstance(vocoder, SourceFilterVocoder):
        return Partition(())
    modules = Partition.by_layer(vocoder.generator, VOCODER, separate_biases=True).modules
    return Partition(tuple(module for module in modules if not module.name.startswith(f"{VOCODER}pitch.")))


def adapting(vocoder: Vocoder | None, base: Base) -> SourceFilterVocoder:
    """The vocoder as one that adapts to the sound of the base's mels.

    Raises UsageError where it is no light one, TtsMetaError where it takes other mels.
    """
    if not isinstance(vocoder, SourceFilterVocoder):
        raise UsageError("only the light vocoder has modules that adapt; choose it, or leave out vocoder.* modules")
    check_mels(vocoder, base.config.audio.mel)
    return vocoder


def own_modules(partition: Partition) -> list[Module]:
    """Modules of a vocoder, whose parameters have the names that its generator has for them, without `VOCODER`."""
    return [
        Module(one.name, one.kind, tuple(name.removeprefix(VOCODER) for name in one.parameters), one.size)
        for one in partition.modules
    ]


def sound_nll(generator: SourceFilterGenerator) -> LossFunction:
    """-log p(audio | mel, θ) of a `VocoderTaskBatch` in nats, up to a constant: a spectral energy distance.

    A generalised likelihood (Bissiri et al. 2016): the distance stands for the nats of one of the samples it is taken
    over.
    """
    edge = EDGE_FRAMES * generator.mel_config.hop

    def loss(call: Callable[..., Any], data: VocoderTaskBatch) -> Tensor:
        made = call(data.mel, data.pitch, data.phase, data.noises)[..., edge:-edge]
        real = spectra(data.samples[:, edge:-edge])
        return spectral_energy_distance(real, *map(spectra, made), repulsion=_REPULSION) * data.weight

    return loss


class VocoderTask:
    """Recordings of one speaker as inner steps of a vocoder see them: crops at random places.

    Raises UsageError where an example has no samples, TtsMetaError where none is long enough.
    """

    def __init__(self, generator: SourceFilterGenerator, examples: Sequence[Example]) -> None:
        if any(example.samples is None for example in examples):
            raise UsageError("a vocoder adapts to sound: give examples with samples, as align_recordings does")
        self._hop = generator.mel_config.hop
        self._frames = min(_CROP_FRAMES, max((len(example.mel) for example in examples), default=0))
        if self._frames < 2 * EDGE_FRAMES + _FEWEST_FRAMES:
            raise TtsMetaError("no recording is long enough to adapt the vocoder to; leave its modules out")
        self._examples = [example for example in examples if len(example.mel) >= self._frames]
        with torch.no_grad():
            self._pitch = [generator.pitch(example.mel[None]) for example in self._examples]
        self.samples = self._hop * sum(len(example.mel) for example in self._examples)
        """Samples of all recordings that crops are taken of."""

    def task(self, crops: int, seed: int) -> Task:
        """These recordings as support, so many crops a step; those of step k are a function of `seed` and k alone."""
        return Task(None, None, lambda step: self.sample(crops, f"{seed}/{step}"))

    def sample(self, crops: int, seed: int | str) -> VocoderTaskBatch:
        """Crops at random, weighed as an estimate of the whole sum: a function of `seed` alone, phases and noises too.

        No other generator is touched.
        """
        draws = random.Random(seed)
        lengths = [len(example.mel) - self._frames + 1 for example in self._examples]
        mels, pitches, sounds = [], [], []
        for number in draws.choices(range(len(lengths)), lengths, k=crops):
            begin = draws.randrange(lengths[number])
            span = slice(begin, begin + self._frames)
            mels.append(self._examples[number].mel[span])
            pitches.append(self._pitch[number][span])
            samples = self._examples[number].samples
            assert samples is not None
            sounds.append(samples[begin * self._hop : span.stop * self._hop])
        pitch = Pitch(torch.cat([one.log_f0 for one in pitches]), torch.cat([one.voiced for one in pitches]))
        real = torch.stack(sounds)
        generator = torch.Generator().manual_seed(draws.getrandbits(32))
        phase = torch.rand(crops, generator=generator)
        noises = torch.randn(2, *real.shape, generator=generator)
        return VocoderTaskBatch(torch.stack(mels), pitch, real, phase, noises, float(self.samples))
