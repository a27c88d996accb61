"""`LSTM`: a recurrent layer whose gradients can be computed on every device."""

from __future__ import annotations

from typing import Any

from torch import nn


class LSTM(nn.LSTM):
    """`nn.LSTM` without dropout, whose gradients can be computed in evaluation mode too.

    cuDNN, which computes recurrent layers on GPUs of NVIDIA, refuses gradients in evaluation mode. Cloning needs them,
    since the other layers are in evaluation mode. The layer has no dropout, so training mode changes nothing else.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Return what `nn.LSTM` returns."""
        if input.is_cuda:
            self.training = True
        return super().forward(input, hx)
