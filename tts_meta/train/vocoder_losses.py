"""Losses of vocoder training: pitch predictor, spectral energy distance, and the adversarial loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from tts_meta.models.vocoders.pitch_predictor import Pitch, PitchPredictor
from tts_meta.models.vocoders.source_filter import EDGE_FRAMES, SourceFilterGenerator
from tts_meta.models.vocoders.spectral_loss import spectra, spectral_energy_distance
from tts_meta.train.discriminator import Discriminator, adversarial_loss, discriminator_loss
from tts_meta.train.vocoder_data import VocoderBatch

_LEVEL_STD, _NOISE_STD = 0.3, 0.15
"""Standard deviations of the random level and noise that augment the log-mels of the pitch predictor."""

VocoderLoss = Callable[[VocoderBatch, int], tuple[Tensor, dict[str, Tensor]]]
"""(crops, step) to the loss, one process's share of it, and further scalars to log."""


def pitch_loss(predictor: PitchPredictor) -> VocoderLoss:
    """Cross-entropy of F0 bins, in voiced frames, plus cross-entropy of voicing, with random level and noise."""

    def loss(crops: VocoderBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        levels = _LEVEL_STD * torch.randn(len(crops.mel), 1, 1, device=crops.mel.device)
        noise = _NOISE_STD * torch.randn(len(crops.mel), 1, 1, device=crops.mel.device)
        scores, voiced = predictor.logits(crops.mel + levels + noise * torch.randn_like(crops.mel))
        width = predictor.centres[1] - predictor.centres[0]
        distance = (predictor.centres - crops.log_f0.unsqueeze(-1)) / width
        target = (-0.5 * distance.square()).softmax(-1)
        frames = -(target * scores.log_softmax(-1)).sum(-1) * crops.voiced
        bins = frames.sum() / crops.voiced.sum().clamp(min=1)
        voicing = F.binary_cross_entropy_with_logits(voiced, crops.voiced)
        share = frames.sum() / crops.all_voiced.clamp(min=1) + voicing * crops.share
        return share, {"bins": bins, "voicing": voicing}

    return loss


def spectral_objective(generator: SourceFilterGenerator, repulsion: float = 1.0) -> VocoderLoss:
    """The energy distance between two generated waveforms and the real one, in spectra."""

    def loss(crops: VocoderBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        real, generated = _generate(generator, crops, 2)
        distance = spectral_energy_distance(spectra(real), *map(spectra, generated), repulsion=repulsion)
        return distance * crops.share, {"energy_distance": distance}

    return loss


def adversarial_objective(
    generator: SourceFilterGenerator, discriminator: Discriminator, weight: float, repulsion: float = 1.0
) -> VocoderLoss:
    """The sum of the generator's and the discriminator's losses; neither network has a gradient of the other's loss."""

    def loss(crops: VocoderBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        real, generated = _generate(generator, crops, 2)
        distance = spectral_energy_distance(spectra(real), *map(spectra, generated), repulsion=repulsion)
        frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        generator_loss = adversarial_loss(functional_call(discriminator, frozen, (generated[0],)))
        judged = discriminator_loss(discriminator(torch.cat([real, generated[0].detach()])))
        scalars = {"energy_distance": distance, "adversarial": generator_loss, "discriminator": judged}
        return (distance + weight * generator_loss + judged) * crops.share, scalars

    return loss


def _generate(generator: SourceFilterGenerator, crops: VocoderBatch, count: int) -> tuple[Tensor, Tensor]:
    """The real samples of crops `(B, S)` and `count` generated ones with other noise `(count, B, S)`, without edges."""
    phase = torch.rand(len(crops.mel), device=crops.mel.device)
    noises = torch.randn(count, *crops.samples.shape, device=crops.mel.device)
    generated = generator(crops.mel, Pitch(crops.log_f0, crops.voiced), phase, noises)
    edge = EDGE_FRAMES * generator.mel_config.hop
    return crops.samples[:, edge:-edge], generated[..., edge:-edge]
