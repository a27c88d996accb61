"""`DurationPredictor` and `ProsodyPredictor` of the acoustic model: one prediction per symbol."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tts_meta.config import Kernel, Layers, Section, Share, Width
from tts_meta.models.conv_blocks import conv_blocks


class PredictorConfig(Section):
    """Settings of a predictor of duration and spread, or of prosody, for each symbol."""

    channels: Width = 256
    """Width of the convolutions."""
    layers: Layers = 2
    """Number of convolutions."""
    kernel: Kernel = 3
    """Kernel size of the convolutions, in symbols."""
    dropout: Share = 0.2
    """Dropout after each convolution."""


class DurationPredictor(nn.Module):
    """Predicts log(1 + frames) `(B, N)` and the spread of each symbol in frames `(B, N)`.

    The input is the hidden states `(B, N, D)`. The spread is the standard deviation of Gaussian upsampling, the "range
    parameter" of Shen et al. 2020, section 3.2.
    """

    def __init__(self, config: PredictorConfig, inputs: int) -> None:
        super().__init__()
        self.convs = conv_blocks(inputs, config.channels, config.layers, config.kernel, config.dropout)
        self.output = nn.Linear(config.channels, 1)
        self.spread = nn.Linear(inputs, 1)

    def forward(self, encoded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden = encoded
        for conv in self.convs:
            hidden = conv(hidden, mask)
        spread = F.softplus(self.spread(encoded).squeeze(-1).to(self.spread.weight) + 1.0) + 0.3
        return self.output(hidden).squeeze(-1).to(self.output.weight), spread


class ProsodyPredictor(nn.Module):
    """Predicts the prosody of each symbol `(B, N, 3)`, as in `prosody.py`, from hidden states `(B, N, D)`."""

    def __init__(self, config: PredictorConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convs = conv_blocks(inputs, config.channels, config.layers, config.kernel, config.dropout)
        self.output = nn.Linear(config.channels, outputs)

    def forward(self, encoded: Tensor, mask: Tensor) -> Tensor:
        hidden = encoded
        for conv in self.convs:
            hidden = conv(hidden, mask)
        return self.output(hidden).to(self.output.weight)
