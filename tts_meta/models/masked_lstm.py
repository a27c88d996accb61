"""`MaskedLSTM`: a bidirectional LSTM over padded sequences, computed by torch's fused kernels."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tts_meta.models.recurrent import LSTM

_CLOSED = -1e4
"""Input of a gate that closes it: the sigmoid of this value is exactly 0 in each floating-point type."""


class MaskedLSTM(LSTM):
    """A bidirectional LSTM with one layer over sequences `(B, N, I)`, equal to an LSTM over a packed batch.

    On the CPU, torch computes a packed batch step by step; the fused kernel of a padded batch is several times faster.
    The padded batch has closed gates outside the mask, so state and output are zero there. The backward direction thus
    starts at the last symbol of each sequence with a zero state, as over a packed batch. On other devices, the batch is
    packed.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels, batch_first=True, bidirectional=True)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the outputs `(B, N, 2 C)` of `hidden (B, N, I)`, with zeros outside the mask `(B, N)`."""
        if bool(mask.all()):
            return super().forward(hidden)[0]
        if hidden.device.type != "cpu":
            packed = pack_padded_sequence(hidden, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
            outputs = super().forward(packed)[0]
            return pad_packed_sequence(outputs, batch_first=True, total_length=hidden.shape[1])[0]
        # The last input is 1 in the padding. Its weight closes the input, forget and output gates.
        inputs = torch.cat([hidden, (~mask).unsqueeze(-1).to(hidden)], -1)
        gates = hidden.new_tensor([_CLOSED, _CLOSED, 0.0, _CLOSED]).repeat_interleave(self.hidden_size).unsqueeze(1)
        weights = []
        for input_weight, *others in cast("list[list[Tensor]]", self.all_weights):
            weights += [torch.cat([input_weight, gates.to(input_weight)], 1), *others]
        start = hidden.new_zeros(2, len(hidden), self.hidden_size)
        return torch.lstm(inputs, (start, start), weights, True, 1, 0.0, self.training, True, True)[0]
