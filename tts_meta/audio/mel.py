"""`MelSpec`: log-mel spectrograms in the HiFi-GAN convention, so public HiFi-GAN vocoders can be used."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from tts_meta.config import Section


class MelConfig(Section):
    """Log-mel spectrogram in the HiFi-GAN convention (Kong et al. 2020)."""

    sample_rate: int = Field(default=22050, ge=1000, le=768_000)
    """Samples a second of every waveform inside the toolkit."""
    n_fft: int = Field(default=1024, ge=16, le=65536)
    """Samples in one analysis window."""
    hop: int = Field(default=256, gt=0, le=65536)
    """Samples from one frame to the next."""
    n_mels: int = Field(default=80, gt=0, le=1024)
    """Mel bands M."""
    f_min: float = Field(default=0.0, ge=0)
    """Lowest frequency, Hz."""
    f_max: float = Field(default=8000.0, gt=0)
    """Highest frequency, Hz; 8,000 loses nothing of 16 kHz corpora."""
    floor: float = Field(default=1e-5, gt=0)
    """Magnitudes are clamped here before the natural logarithm."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hop > self.n_fft:
            raise ValueError(f"hop is {self.hop}, longer than the window n_fft of {self.n_fft}")
        if not self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(f"f_max must lie above f_min and at most at half of sample_rate, not at {self.f_max} Hz")
        return self

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate


class MelSpec(nn.Module):
    """Waveform to natural-log mel magnitudes (Kong et al. 2020, `meldataset.py`): `(B, S)` to `(B, T, M)`.

    The waveform is padded by reflection with (n_fft - hop) / 2 samples, and frames are not centred, so T = S // hop.
    The filters have the Slaney scale and area norm, as in `librosa.filters.mel`. The waveform must have more than
    (n_fft - hop) / 2 samples.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        filters = melscale_fbanks(
            config.n_fft // 2 + 1, config.f_min, config.f_max, config.n_mels, config.sample_rate, "slaney", "slaney"
        )
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        config = self.config
        pad = (config.n_fft - config.hop) // 2
        padded = F.pad(waveform.unsqueeze(1), (pad, pad), mode="reflect").squeeze(1)
        spectrum = torch.stft(
            padded, config.n_fft, config.hop, window=self.window, center=False, return_complex=True
        )  # (B, n_fft/2 + 1, T)
        magnitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-9)
        mel = magnitude.transpose(1, 2) @ self.filters  # (B, T, M)
        return torch.log(mel.clamp(min=config.floor))
