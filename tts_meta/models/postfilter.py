"""`VariancePostfilter`: scales predicted log-mels so that they have the variance of speech.

A model that minimises the prediction error predicts spectra that are too smooth: finer details have a smaller variance
about the sentence's mean than in speech. The postfilter scales each mel-cepstral coefficient of a sentence about its
mean, so that its variance is that of speech (global variance, Toda and Tokuda 2007; by scaling: Silén, Helander,
Nurminen and Gabbouj 2012). The factors are measured once, on sentences that the model synthesises. Factors measured on
each sentence would remove differences between voices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchaudio.functional import create_dct

MEAN_FRAMES = 1000
"""Number of frames at the start of a sentence that the mean is computed of, so that a long sentence can be streamed."""
MAX_GAIN = 1.5
"""Largest factor. The model predicts very little of the finest detail. With larger factors, speech scores slightly
higher in naturalness and lower in speaker similarity."""


class VariancePostfilter(nn.Module):
    """Sharpens log-mels `(..., T, M)`, one sentence each; changes nothing before `measure` has set the factors."""

    gain: Tensor
    basis: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.mean_frames = MEAN_FRAMES
        # Standard deviation of each coefficient in speech, divided by that in predicted mels, `(M,)`.
        self.register_buffer("gain", torch.ones(n_mels))
        self.register_buffer("basis", create_dct(n_mels, n_mels, "ortho"), persistent=False)  # (M, M), orthonormal

    def forward(self, mel: Tensor, postfilter: float = 1.0) -> Tensor:
        """Sharpen a sentence. The factors have the power `postfilter`: 0 changes nothing, 1 scales as measured."""
        return self.sharpen(mel, self.mean(mel), postfilter)

    def mean(self, mel: Tensor) -> Tensor:
        """Return the mean `(..., 1, M)` of the first `mean_frames` frames of a sentence `(..., T, M)`."""
        return mel[..., : self.mean_frames, :].mean(-2, keepdim=True)

    def sharpen(self, mel: Tensor, mean: Tensor, postfilter: float = 1.0) -> Tensor:
        """Sharpen frames `(..., T, M)` of a sentence with a known mean `(..., 1, M)`; equals a part of `forward`."""
        if postfilter == 0:
            return mel
        factors = self.gain.clamp(max=MAX_GAIN) ** postfilter
        return mean + ((mel - mean) @ self.basis * factors) @ self.basis.T

    @torch.no_grad()
    def measure(self, real: Sequence[Tensor], predicted: Sequence[Tensor]) -> None:
        """Set the factors from log-mels `(T, M)` of real sentences and of sentences predicted without postfilter."""
        deviations = [
            torch.stack([(mel @ self.basis).var(0) for mel in mels]).mean(0).sqrt() for mels in (real, predicted)
        ]
        self.gain.copy_(deviations[0] / deviations[1])
