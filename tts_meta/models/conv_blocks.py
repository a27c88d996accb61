"""`ConvBlock`, the convolutional block of encoder, predictors and postnet, and `length_mask`, the mask of a batch.

The blocks use LayerNorm. With BatchNorm, as in Tacotron 2, the result of a task would depend on the other tasks.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        return self.dropout(self.norm(masked_conv(self.conv, hidden, mask).relu()))


def masked_conv(conv: nn.Conv1d, hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the convolution `(B, L, C')` of `hidden (B, L, C)`; values outside the mask `(B, L)` are read as zero."""
    hidden = torch.where(mask.unsqueeze(-1), hidden, 0.0).transpose(1, 2)
    weight, bias = conv.weight, conv.bias
    # A layer that wraps a convolution, such as an adapter, computes more than a convolution with this weight.
    is_frozen = torch.is_grad_enabled() and not weight.requires_grad
    if bias is None or type(conv) is not nn.Conv1d or not is_frozen:
        return conv(hidden).transpose(1, 2)
    # This weight does not adapt, but gradients of the input or the bias are needed. oneDNN computes the gradients of
    # weight and bias together, so the bias is added in a separate operation. As a convolution in two dimensions, of
    # height 1, the values stay in the order (B, L, C) in memory; `conv1d` copies them to the order (B, C, L) and back.
    padding = (0, conv.kernel_size[0] // 2)
    return F.conv2d(hidden.unsqueeze(2), weight.unsqueeze(2), None, 1, padding).squeeze(2).transpose(1, 2) + bias


def conv_blocks(inputs: int, channels: int, layers: int, kernel: int, dropout: float) -> nn.ModuleList:
    """Return a stack of `layers` blocks, from `inputs` channels to `channels`."""
    widths = [inputs] + [channels] * layers
    return nn.ModuleList(ConvBlock(a, b, kernel, dropout) for a, b in itertools.pairwise(widths))
