"""`GriffinLim`: the fallback vocoder, without weights (Griffin and Lim 1984; fast version: Perraudin et al. 2013)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import griffinlim, melscale_fbanks

from tts_meta.audio.mel import MelConfig
from tts_meta.context import default_torch_state
from tts_meta.errors import TtsMetaError

_TINY = 1e-10


class GriffinLim:
    """Vocoder that inverts the mel filterbank and then estimates phases; see `Vocoder` for the contract.

    Linear magnitudes are the non-negative least-squares solution of filterbank @ magnitude = mel. Multiplicative
    updates (Lee and Seung 2001) compute it from the pseudo-inverse. Initial phases are random with `seed`, so the same
    mel gives the same samples. The computation runs on the CPU for mels on any device.
    """

    name = "griffin-lim"
    generator = None

    @default_torch_state()
    def __init__(
        self, config: MelConfig | None = None, iterations: int = 60, seed: int = 0, notice: str | None = None
    ) -> None:
        self.mel_config = config = config or MelConfig()
        self.sample_rate = config.sample_rate
        self.hop = config.hop
        self.notice = notice
        self.iterations = iterations
        self.seed = seed
        bins = config.n_fft // 2 + 1
        self.filterbank = melscale_fbanks(
            bins, config.f_min, config.f_max, config.n_mels, config.sample_rate, "slaney", "slaney"
        ).T.contiguous()  # (M, bins)
        self.inverse = torch.linalg.pinv(self.filterbank.double()).float()

    @default_torch_state()
    @torch.no_grad()
    def __call__(self, mel: Tensor) -> Tensor:
        bands = self.mel_config.n_mels
        if mel.dim() != 3 or mel.shape[2] != bands:
            raise TtsMetaError(f"vocoder '{self.name}' takes mels (B, T, {bands}), not {tuple(mel.shape)}")
        batch, frames, _ = mel.shape
        if not batch * frames:
            return mel.new_zeros(batch, frames * self.hop, dtype=torch.float32)
        # Frame t of the mel is centred half a hop after sample t * hop; frame t of `griffinlim` is centred on sample
        # t * hop. One more frame is therefore added at each end, and half a hop is removed from the result.
        # torch's STFT needs more samples than half a window, so the shortest mels get more frames at the end.
        extra = max(0, self.mel_config.n_fft // (2 * self.hop) - frames)
        magnitude = F.pad(self.linear(mel.float().cpu()), (1, 1 + extra), mode="replicate")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)  # `torch.manual_seed` would also seed every GPU
            samples = griffinlim(
                magnitude,
                window=torch.hann_window(self.mel_config.n_fft),
                n_fft=self.mel_config.n_fft,
                hop_length=self.hop,
                win_length=self.mel_config.n_fft,
                power=1.0,
                n_iter=self.iterations,
                momentum=0.99,
                length=(frames + extra + 1) * self.hop,
                rand_init=True,
            )
        start = self.hop // 2
        return samples[:, start : start + frames * self.hop].clamp(-1.0, 1.0).to(mel.device)

    def linear(self, mel: Tensor, updates: int = 30) -> Tensor:
        """Return linear magnitudes `(B, bins, T)` of log-mels `(B, T, M)`."""
        target = mel.transpose(1, 2).exp()
        magnitude = (self.inverse @ target).clamp_min(_TINY)
        transposed = self.filterbank.T
        numerator = transposed @ target
        for _ in range(updates):
            magnitude = magnitude * (numerator / (transposed @ (self.filterbank @ magnitude)).clamp_min(_TINY))
        return magnitude
