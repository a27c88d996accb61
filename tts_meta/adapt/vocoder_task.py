"""`VocoderTask`: recordings of one speaker as a meta-learning task, with their likelihood under the vocoder.

The likelihood of a recording is the product of two likelihoods: of the mel given the text, and of the samples given the
mel. The first likelihood depends only on the acoustic model, the second only on the vocoder. The two models therefore
adapt separately.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Task
from tts_meta.meta.domain import LossFunction
from tts_meta.models.partition import Module, Partition
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.pitch_predictor import Pitch
from tts_meta.models.vocoders.source_filter import EDGE_FRAMES, SourceFilterGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.spectral_loss import spectra, spectral_energy_distance
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels

_CROP_FRAMES = 64
_FEWEST_FRAMES = 8
"""Minimum number of frames of a crop without its edges. The longest window of the spectra must fit into a crop."""
_REPULSION = 0.2
"""Weight of the repulsion, as in the last stage of vocoder training.

Slightly less noise than in real speech sounds better.
"""


@dataclass(frozen=True)
class VocoderTaskBatch:
    """A batch of crops of one speaker's recordings.

    mel: `(B, T, M)`. pitch: pitch of the mels. samples: `(B, T * hop)`. phase `(B,)`, noises `(2, B, T * hop)`:
    random inputs for two generated versions of the crops. weight: factor of the loss.
    """

    mel: Tensor
    pitch: Pitch
    samples: Tensor
    phase: Tensor
    noises: Tensor
    weight: float


def adaptable_vocoder_modules(vocoder: Vocoder) -> Partition:
    """Return the modules of a source-filter vocoder that cloning can adapt.

    The names of the modules begin with `VOCODER_PREFIX`. Other vocoders have no such modules. The pitch predictor
    is excluded, because it is trained on labels and not on spectra.
    """
    if not isinstance(vocoder, SourceFilterVocoder):
        return Partition(())
    modules = Partition.by_layer(vocoder.generator, VOCODER_PREFIX, granularity="matrix").modules
    return Partition(tuple(module for module in modules if not module.name.startswith(f"{VOCODER_PREFIX}pitch.")))


def require_adaptable_vocoder(vocoder: Vocoder | None, base: Base) -> SourceFilterVocoder:
    """Return the vocoder if it can adapt to recordings with the base's mels.

    Raises UsageError if the vocoder has no modules that can adapt. Raises TtsMetaError if the vocoder takes other
    mels than the base produces.
    """
    if not isinstance(vocoder, SourceFilterVocoder):
        raise UsageError("only the light vocoder has modules that can adapt; choose it, or leave out vocoder.* modules")
    check_mels(vocoder, base.config.audio.mel)
    return vocoder


def generator_modules(partition: Partition) -> list[Module]:
    """Return the modules with the parameter names of the vocoder's generator, without `VOCODER_PREFIX`."""
    return [
        Module(
            module.name,
            module.kind,
            tuple(name.removeprefix(VOCODER_PREFIX) for name in module.parameters),
            module.size,
        )
        for module in partition.modules
    ]


def vocoder_nll(generator: SourceFilterGenerator) -> LossFunction:
    """Return the loss -log p(audio | mel, θ) of a `VocoderTaskBatch` in nats, up to a constant.

    The loss is a spectral energy distance, which is taken as the mean nats per sample. The resulting likelihood is
    a generalised likelihood (Bissiri et al. 2016).
    """
    edge = EDGE_FRAMES * generator.mel_config.hop

    def loss(call: Callable[..., Any], data: VocoderTaskBatch) -> Tensor:
        generated = call(data.mel, data.pitch, data.phase, data.noises)[..., edge:-edge]
        real = spectra(data.samples[:, edge:-edge])
        return spectral_energy_distance(real, *map(spectra, generated), repulsion=_REPULSION) * data.weight

    return loss


class VocoderTask:
    """Recordings of one speaker, from which inner steps draw random crops.

    Batches are on the device of the generator. Raises UsageError if an example has no samples, TtsMetaError if no
    recording is long enough.
    """

    def __init__(self, generator: SourceFilterGenerator, examples: Sequence[Example]) -> None:
        if any(example.samples is None for example in examples):
            raise UsageError(
                "a vocoder adapts to audio samples; give examples with samples, as prepare_recordings returns them"
            )
        self._hop = generator.mel_config.hop
        self._frames = min(_CROP_FRAMES, max((len(example.mel) for example in examples), default=0))
        if self._frames < 2 * EDGE_FRAMES + _FEWEST_FRAMES:
            raise TtsMetaError(
                "no recording is long enough to adapt the vocoder; "
                "record longer sentences or leave out vocoder.* modules"
            )
        self._examples = [example for example in examples if len(example.mel) >= self._frames]
        self._device = generator.window.device
        with torch.no_grad():
            self._pitch = [generator.pitch(example.mel[None].to(self._device)) for example in self._examples]
        self.samples = self._hop * sum(len(example.mel) for example in self._examples)
        """Number of samples in all recordings that are long enough for crops."""

    def task(self, crops: int, seed: int) -> Task:
        """Return a task with `crops` random crops in each step. The crops of step k depend only on `seed` and k."""
        return Task(None, None, lambda step: self.sample(crops, f"{seed}/{step}"))

    def sample(self, crops: int, seed: int | str) -> VocoderTaskBatch:
        """Return a batch of random crops with their phases and noises. The batch depends only on `seed`.

        The global random generators are not used. The weight makes the loss an estimate of the sum over all
        samples.
        """
        crop_generator = random.Random(seed)
        lengths = [len(example.mel) - self._frames + 1 for example in self._examples]
        mels, pitches, crop_samples = [], [], []
        for number in crop_generator.choices(range(len(lengths)), lengths, k=crops):
            begin = crop_generator.randrange(lengths[number])
            span = slice(begin, begin + self._frames)
            mels.append(self._examples[number].mel[span])
            pitches.append(self._pitch[number][span])
            samples = self._examples[number].samples
            assert samples is not None
            crop_samples.append(samples[begin * self._hop : span.stop * self._hop])
        pitch = Pitch(torch.cat([pitch.log_f0 for pitch in pitches]), torch.cat([pitch.voiced for pitch in pitches]))
        mel, real = torch.stack(mels).to(self._device), torch.stack(crop_samples).to(self._device)
        # The numbers are drawn on the CPU, so that the same seed gives the same numbers on every device.
        generator = torch.Generator().manual_seed(crop_generator.getrandbits(32))
        phase = torch.rand(crops, generator=generator).to(self._device)
        noises = torch.randn(2, *real.shape, generator=generator).to(self._device)
        return VocoderTaskBatch(mel, pitch, real, phase, noises, float(self.samples))
