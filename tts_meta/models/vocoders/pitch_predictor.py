"""`PitchPredictor`: predicts F0 and voicing of mel frames, as a part of the source-filter vocoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Kernel, Layers, Section, Width
from tts_meta.models.vocoders.convnext import ConvNext

_MEL_MEAN, _MEL_SCALE = -5.0, 2.5
"""Mean and scale of log-mels of speech at the usual level."""


class PitchConfig(Section):
    """Settings of the pitch predictor of the light vocoder (`models/vocoders/pitch_predictor.py`)."""

    low: float = Field(default=60.0, gt=0)
    """Lowest F0 in Hz."""
    high: float = Field(default=500.0, gt=0)
    """Highest F0 in Hz."""
    bins: int = Field(default=128, gt=1, le=4096)
    """Number of F0 classes from `low` to `high`, evenly spaced in ln F0."""
    channels: Width = 128
    """Width of the blocks."""
    layers: Layers = 4
    """Number of ConvNeXt blocks."""
    kernel: Kernel = 7
    """Kernel size of the blocks, in frames."""
    expansion: int = Field(default=3, gt=0, le=64)
    """Width inside a block, as a multiple of `channels`."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low} Hz) must be below high ({self.high} Hz)")
        return self


@dataclass(frozen=True)
class Pitch:
    """Pitch of each frame, `(B, T)`: natural logarithm of F0 in Hz, and degree of voicing from 0 to 1."""

    log_f0: Tensor
    voiced: Tensor

    def __getitem__(self, frames: slice) -> Pitch:
        return Pitch(self.log_f0[:, frames], self.voiced[:, frames])


class PitchPredictor(nn.Module):
    """Predicts F0 and voicing from log-mels: a classifier over bins of ln F0, as CREPE (Kim et al. 2018)."""

    centres: Tensor

    def __init__(self, config: PitchConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.net = ConvNext(
            mel.n_mels, config.bins + 1, config.channels, config.layers, config.kernel, config.expansion
        )
        centres = torch.linspace(math.log(config.low), math.log(config.high), config.bins)
        self.register_buffer("centres", centres, persistent=False)

    def logits(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of F0 bins `(B, T, bins)` and of voicing `(B, T)`, for log-mels `(B, T, M)`."""
        outputs = self.net(normalise_mel(mel)).float()
        return outputs[..., :-1], outputs[..., -1]

    def forward(self, mel: Tensor) -> Pitch:
        """Return the pitch of log-mels `(B, T, M)`; ln F0 is the weighted mean of the bins within 3 of the best bin."""
        scores, voiced = self.logits(mel)
        best = scores.argmax(-1, keepdim=True)
        is_near = (torch.arange(len(self.centres), device=mel.device) - best).abs() <= 3
        weights = torch.where(is_near, scores, -torch.inf).softmax(-1)
        return Pitch((weights * self.centres).sum(-1), voiced.sigmoid())


def normalise_mel(mel: Tensor) -> Tensor:
    """Return log-mels `(B, T, M)` with a mean of about 0 and a scale of about 1, the input of the networks."""
    return (mel - _MEL_MEAN) / _MEL_SCALE
