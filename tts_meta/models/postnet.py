"""`Postnet` of the acoustic model: convolutions that correct the decoder's frames (Shen et al. 2018, section 2.2)."""

from __future__ import annotations

from torch import Tensor, nn

from tts_meta.config import Kernel, Layers, Section, Share, Width
from tts_meta.models.conv_blocks import conv_blocks, masked_conv


class PostnetConfig(Section):
    """Settings of the postnet, a convolutional residual correction of the decoder's frames."""

    channels: Width = 256
    """Width of the convolutions."""
    layers: Layers = 5
    """Number of convolutions."""
    kernel: Kernel = 5
    """Kernel size of the convolutions, in frames."""
    dropout: Share = 0.0
    """Dropout after each convolution except the last."""


class Postnet(nn.Module):
    """Predicts the correction `(B, T, M)` of frames `(B, T, M)`; the caller adds the correction to the frames."""

    def __init__(self, config: PostnetConfig, n_mels: int) -> None:
        super().__init__()
        self.convs = conv_blocks(n_mels, config.channels, config.layers - 1, config.kernel, config.dropout)
        self.output = nn.Conv1d(config.channels, n_mels, config.kernel, padding=config.kernel // 2)
        self.receptive_radius = config.layers * (config.kernel // 2)
        """Number of frames on each side of a frame that the frame's correction depends on."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        hidden = frames
        for conv in self.convs:
            hidden = conv(hidden, mask)
        return masked_conv(self.output, hidden, mask)
