"""Postfilter: gives predicted log-mels the variance of speech.

A model that predicts the likeliest value draws spectra too smooth: the finer the detail, the less it strays from its
sentence's mean. Each mel-cepstral coefficient of a sentence is scaled about its mean so that it strays as it does in
speech: global variance (Toda and Tokuda 2007) by plain scaling (Silén, Helander, Nurminen, Gabbouj 2012), with factors
measured once on sentences the model speaks rather than on each sentence anew, which would make all voices alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchaudio.functional import create_dct

MEAN_OVER = 1000
"""Frames at a sentence's beginning whose mean stands for that of all: a longer one need not be known to its end."""
MOST = 1.5
"""Largest factor. The finest detail is hardly predicted at all: larger ones score as a little more natural and less
like the speaker."""


class VariancePostfilter(nn.Module):
    """Log-mels `(..., T, M)` of one sentence each, sharpened; does nothing before `measure`."""

    gain: Tensor
    basis: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.mean_over = MEAN_OVER
        # How much more each coefficient strays in speech than in what is predicted, `(M,)`.
        self.register_buffer("gain", torch.ones(n_mels))
        self.register_buffer("basis", create_dct(n_mels, n_mels, "ortho"), persistent=False)  # (M, M), orthonormal

    def forward(self, mel: Tensor, postfilter: float = 1.0) -> Tensor:
        """`postfilter` 0 leaves the mel as it is, 1 scales as measured, up to `MOST`; it is an exponent."""
        return self.sharpen(mel, self.mean(mel), postfilter)

    def mean(self, mel: Tensor) -> Tensor:
        """What the values of a sentence `(..., T, M)` stray about, `(..., 1, M)`."""
        return mel[..., : self.mean_over, :].mean(-2, keepdim=True)

    def sharpen(self, mel: Tensor, mean: Tensor, postfilter: float = 1.0) -> Tensor:
        """Frames `(..., T, M)` of a sentence whose mean is known, sharpened: `forward` a part at a time."""
        if postfilter == 0:
            return mel
        factors = self.gain.clamp(max=MOST) ** postfilter
        return mean + ((mel - mean) @ self.basis * factors) @ self.basis.T

    @torch.no_grad()
    def measure(self, real: Sequence[Tensor], predicted: Sequence[Tensor]) -> None:
        """Set the factors from log-mels `(T, M)` of sentences, real and predicted without postfilter."""
        spread = [torch.stack([(mel @ self.basis).var(0) for mel in mels]).mean(0).sqrt() for mels in (real, predicted)]
        self.gain.copy_(spread[0] / spread[1])
