"""`ConvBlock`, the convolutional block of encoder, predictors and postnet, and `length_mask`, the mask of a batch.

The blocks use LayerNorm. With BatchNorm, as in Tacotron 2, the result of a task would depend on the other tasks.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return the mask of padded sequences with lengths `(B,)`: bool `(B, size)`, true inside each sequence."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


class ConvBlock(nn.Module):
    """Convolution, ReLU, LayerNorm, dropout over `(B, L, C)`; values outside the mask `(B, L)` are read as zero."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        hidden = torch.where(mask.unsqueeze(-1), hidden, 0.0)
        hidden = self.conv(hidden.transpose(1, 2)).transpose(1, 2)
        return self.dropout(self.norm(hidden.relu()))


def conv_blocks(inputs: int, channels: int, layers: int, kernel: int, dropout: float) -> nn.ModuleList:
    """Return a stack of `layers` blocks, from `inputs` channels to `channels`."""
    widths = [inputs] + [channels] * layers
    return nn.ModuleList(ConvBlock(a, b, kernel, dropout) for a, b in itertools.pairwise(widths))
