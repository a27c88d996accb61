"""`ConvNext`: a stack of ConvNeXt blocks over time, used in the pitch predictor and the source-filter generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNextBlock(nn.Module):
    """Depthwise convolution over time, then two layers over channels (Liu et al. 2022), `(B, T, C)` to `(B, T, C)`."""

    def __init__(self, channels: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.narrow(F.gelu(self.widen(self.norm(hidden))))


class ConvNext(nn.Module):
    """A convolution, ConvNeXt blocks, and a linear layer: `(B, T, I)` to `(B, T, O)`."""

    def __init__(self, inputs: int, outputs: int, channels: int, layers: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.input = nn.Conv1d(inputs, channels, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(ConvNextBlock(channels, kernel, expansion) for _ in range(layers))
        self.output = nn.Linear(channels, outputs)
        self.receptive_radius = (kernel // 2) * (1 + layers)
        """Number of frames on each side of a frame that the frame's output depends on."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.input(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        return self.output(hidden)
