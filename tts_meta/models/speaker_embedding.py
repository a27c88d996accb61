"""`SpeakerEmbedding`: a vector for the mean voice, and an offset from the mean voice for each training speaker."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpeakerEmbedding(nn.Module):
    """Speaker embedding `(B, E)`: the mean voice, plus an offset for each training speaker.

    Cloning adapts only `mean`. The offsets are used in pretraining and for synthesis with a training speaker's voice.
    """

    def __init__(self, channels: int, n_speakers: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(nn.init.normal_(torch.empty(channels), std=0.1))
        self.offsets = nn.Parameter(nn.init.normal_(torch.empty(n_speakers, channels), std=0.1))

    def forward(self, index: Tensor) -> Tensor:
        """Return the embeddings `(B, E)` of speakers `index (B,)` int64; -1 is the mean voice."""
        is_training_speaker = (index >= 0).unsqueeze(1)
        return self.mean + torch.where(is_training_speaker, self.offsets[index.clamp(min=0)], 0.0)

    @torch.no_grad()
    def centre(self) -> None:
        """Move `mean` to the mean over the training speakers; the voices do not change."""
        shift = self.offsets.mean(0)
        self.mean += shift
        self.offsets -= shift
