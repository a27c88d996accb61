"""`MelSpec`: log-mel spectrograms in the HiFi-GAN convention, so public HiFi-GAN vocoders can be used."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from tts_meta.config import MelConfig


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
