"""`Encoder` of the acoustic model: computes hidden states from symbols."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor, nn

from tts_meta.config import Kernel, Layers, Section, Share, Width, even
from tts_meta.models.conv_blocks import conv_blocks, length_mask
from tts_meta.models.masked_lstm import MaskedLSTM


class EncoderConfig(Section):
    """Settings of the encoder, which computes hidden states from symbols."""

    channels: Annotated[Width, AfterValidator(even)] = 384
    """Width D of embedding, convolutions and output."""
    layers: Layers = 3
    """Number of convolutions before the bidirectional LSTM."""
    kernel: Kernel = 5
    """Kernel size of the convolutions, in symbols."""
    dropout: Share = 0.2
    """Dropout after each convolution."""


class Encoder(nn.Module):
    """Computes hidden states `(B, N, D)` from symbols `(B, N)`: embedding, convolutions, bidirectional LSTM."""

    def __init__(self, config: EncoderConfig, n_symbols: int) -> None:
        super().__init__()
        width = config.channels
        self.embedding = nn.Embedding(n_symbols, width, padding_idx=0)
        self.convs = conv_blocks(width, width, config.layers, config.kernel, config.dropout)
        self.lstm = MaskedLSTM(width, width // 2)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return hidden states `(B, N, D)` of symbols `(B, N)`, with zeros in the padding.

        lengths: `(B,)`, numbers of symbols without padding.
        """
        mask = length_mask(lengths, tokens.shape[1])
        hidden = self.embedding(tokens)
        for conv in self.convs:
            hidden = conv(hidden, mask)
        return self.lstm(hidden, mask)
