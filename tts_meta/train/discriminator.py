"""Discriminators of complex spectra at several resolutions, as in EnCodec (Défossez et al. 2022, 2210.13438)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tts_meta.config import Section, Width

_SLOPE = 0.2


class DiscriminatorConfig(Section):
    """What tells spoken from made sound while the light vocoder is trained (`train/discriminator.py`)."""

    windows: list[Annotated[int, Field(ge=16, le=65536)]] = Field(default=[2048, 1024, 512, 256, 128])
    """Window sizes of the short-time Fourier transforms, in samples; one network for each."""
    channels: Width = 32
    """Channels of the convolutions."""


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, dilation: int = 1) -> nn.Module:
    padding = (dilation * (kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
    return nn.Conv2d(inputs, outputs, kernel, (1, stride), padding, (dilation, 1))


class SpectrumDiscriminator(nn.Module):
    """Samples `(B, S)` to scores `(B, T', F')` of their complex spectrum; a higher score means more like speech."""

    window: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        self.layers = nn.ModuleList(
            [_convolution(2, channels, (3, 9))]
            + [_convolution(channels, channels, (3, 9), 2, dilation) for dilation in (1, 2, 4)]
            + [_convolution(channels, channels, (3, 3))]
        )
        self.output = _convolution(channels, 1, (3, 3))

    def forward(self, samples: Tensor) -> Tensor:
        spectrum = torch.stft(
            samples, self.size, self.size // 4, window=self.window, center=False, return_complex=True
        ).transpose(1, 2)
        x = torch.stack([spectrum.real, spectrum.imag], 1) * (10 / math.sqrt(self.size))  # (B, 2, T, F)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
        return self.output(x)[:, 0].float()


class Discriminator(nn.Module):
    """One network per resolution: samples `(B, S)` to a list of scores."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.nets = nn.ModuleList(SpectrumDiscriminator(size, config.channels) for size in config.windows)

    def forward(self, samples: Tensor) -> list[Tensor]:
        return [net(samples) for net in self.nets]


def discriminator_loss(scores: list[Tensor]) -> Tensor:
    """Hinge loss of a batch whose first half is real; it is 0 if real scores are above 1 and generated below -1."""
    halves = [score.chunk(2) for score in scores]
    return torch.stack([F.relu(1 - real).mean() + F.relu(1 + generated).mean() for real, generated in halves]).mean()


def adversarial_loss(scores: list[Tensor]) -> Tensor:
    """The generator's loss: minus the mean score of generated samples."""
    return torch.stack([-score.mean() for score in scores]).mean()
