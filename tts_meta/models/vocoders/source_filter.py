"""The light vocoder's generator: a harmonic source and noise, filtered in the domain of a short Fourier transform.

Mel frames -> `PitchPredictor` (F0 and voicing of each frame) -> `Excitation` (a train of pulses at F0, and how far each
sample is in its period) ; mel and pitch -> ConvNeXt blocks at the rate of frames -> the spectra of three filters ->
inverse transform. The sources are as wide as the band, so a filter is all that shapes them:

    X = H P + A (Z + C Z_cos + S Z_sin)

P, Z: transforms of the pulses and of white noise; Z_cos, Z_sin: of the noise times the cosine and sine of the phase of
the pulses, since breath is louder in a part of each period; H complex, A real and positive, C and S in (-1, 1).

Everything that costs runs once a frame, 86 times a second, as in Vocos (Siuzdak 2023, arXiv 2306.00814). That phases
come from a pulse train is Wang, Takaki and Yamagishi 2019 (arXiv 1904.12088), and in an inverse-STFT generator Li et
al. 2023 (HiFTNet, arXiv 2309.09493): no discriminator has to teach the network what a period is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Kernel, Layers, Section, Width, even
from tts_meta.models.shrinkage_prior import ModulePrior

EDGE_FRAMES = 4
"""Frames at both ends of a crop that no loss hears: their surroundings are cut off."""
_MEL_CENTRE, _MEL_SCALE = -5.0, 2.5
"""Log-mels of speech at the usual level lie about this centre, so far around it."""
_PITCH_CENTRE = 5.0
"""Log-frequencies of voices lie about 148 Hz."""
_HARMONIC_LEVEL, _NOISE_LEVEL = -3.0, -4.0
"""Natural logarithms of the gains that an output of zero stands for."""
_LOUDEST = 8.0
"""Largest natural logarithm of a gain: no weights may lead to an overflow."""


class PitchConfig(Section):
    """F0 and voicing of mel frames, inside the light vocoder (`models/vocoders/source_filter.py`)."""

    low: float = Field(default=60.0, gt=0)
    """Lowest F0, Hz."""
    high: float = Field(default=500.0, gt=0)
    """Highest F0, Hz."""
    bins: int = Field(default=128, gt=1, le=4096)
    """Classes of F0 between them, evenly spaced in the logarithm."""
    channels: Width = 128
    """Width of its blocks."""
    layers: Layers = 4
    """ConvNeXt blocks."""
    kernel: Kernel = 7
    """Frames each block sees."""
    expansion: int = Field(default=3, gt=0, le=64)
    """How much wider a block is inside."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} Hz, and must lie below high, {self.high} Hz")
        return self


class LightConfig(Section):
    """The light vocoder (`models/vocoders/source_filter.py`)."""

    channels: Width = 384
    """Width of its blocks."""
    layers: Layers = 6
    """ConvNeXt blocks."""
    kernel: Kernel = 7
    """Frames each block sees."""
    expansion: int = Field(default=3, gt=0, le=64)
    """How much wider a block is inside."""
    window: Annotated[int, Field(ge=4, le=65536), AfterValidator(even)] = 512
    """Samples of the window in which sources are filtered."""
    subframes: int = Field(default=2, gt=0, le=64)
    """Filters for each mel frame: hop / subframes samples from one to the next."""
    pitch: PitchConfig = PitchConfig()


@dataclass(frozen=True)
class Pitch:
    """Of each frame, `(B, T)`: natural logarithm of F0 in Hz, and how voiced it is, from 0 to 1."""

    log_f0: Tensor
    voiced: Tensor

    def __getitem__(self, frames: slice) -> Pitch:
        return Pitch(self.log_f0[:, frames], self.voiced[:, frames])


@dataclass(frozen=True)
class Excitation:
    """Of each sample, `(B, S)`: pulses of unit power at F0, and the periodic factors `(B, S)` of noise."""

    pulses: Tensor
    cosine: Tensor
    sine: Tensor


@dataclass(frozen=True)
class Filters:
    """Complex `harmonic`, and `noise`, `cosine`, `sine`: each `(B, T * subframes, window // 2 + 1)`."""

    harmonic: Tensor
    noise: Tensor
    cosine: Tensor
    sine: Tensor


class ConvNextBlock(nn.Module):
    """Depthwise convolution over time, then two layers over channels (Liu et al. 2022), `(B, T, C)` to the same."""

    def __init__(self, channels: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.narrow(F.gelu(self.widen(self.norm(hidden))))


class ConvNext(nn.Module):
    """`(B, T, I)` to `(B, T, O)`: a convolution, blocks, and a linear layer."""

    def __init__(self, inputs: int, outputs: int, channels: int, layers: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.input = nn.Conv1d(inputs, channels, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(ConvNextBlock(channels, kernel, expansion) for _ in range(layers))
        self.output = nn.Linear(channels, outputs)
        self.receptive_radius = (kernel // 2) * (1 + layers)
        """Frames on either side that an output depends on."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.input(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        return self.output(hidden)


class PitchPredictor(nn.Module):
    """F0 and voicing of log-mels: a classifier over F0 on a logarithmic scale, as CREPE (Kim et al. 2018) has it."""

    centres: Tensor

    def __init__(self, config: PitchConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.net = ConvNext(
            mel.n_mels, config.bins + 1, config.channels, config.layers, config.kernel, config.expansion
        )
        centres = torch.linspace(math.log(config.low), math.log(config.high), config.bins)
        self.register_buffer("centres", centres, persistent=False)

    def logits(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Of `(B, T, M)`: scores of the F0 of each bin `(B, T, bins)`, and of being voiced `(B, T)`."""
        said = self.net((mel - _MEL_CENTRE) / _MEL_SCALE).float()
        return said[..., :-1], said[..., -1]

    def forward(self, mel: Tensor) -> Pitch:
        """Log-mels `(B, T, M)` to `Pitch`: the mean of the bins around the best one."""
        scores, voiced = self.logits(mel)
        best = scores.argmax(-1, keepdim=True)
        near = (torch.arange(len(self.centres), device=mel.device) - best).abs() <= 3
        weights = torch.where(near, scores, -torch.inf).softmax(-1)
        return Pitch((weights * self.centres).sum(-1), voiced.sigmoid())


class SourceFilterGenerator(nn.Module):
    """Log-mels to samples; each frame's samples are those from `t * hop` on, its pitch that of their middle."""

    window: Tensor

    def __init__(self, config: LightConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config, self.mel_config = config, mel
        self.hash = ""
        """SHA-256 of the file of the weights; empty where they were not read from one."""
        self.prior: ModulePrior | None = None
        """How far its modules stray from voice to voice, where that was meta-learned."""
        self.state: dict[str, Any] = {}
        """What it was trained on."""
        self.hop = mel.hop // config.subframes
        self.bins = config.window // 2 + 1
        self.pitch = PitchPredictor(config.pitch, mel)
        outputs = config.subframes * 5 * self.bins
        self.net = ConvNext(mel.n_mels + 2, outputs, config.channels, config.layers, config.kernel, config.expansion)
        self.register_buffer("window", torch.hann_window(config.window), persistent=False)

    @property
    def receptive_radius(self) -> int:
        """Frames on either side of a frame that its samples depend on."""
        return (
            self.pitch.net.receptive_radius
            + self.net.receptive_radius
            + 1
            + -(-self.config.window // self.mel_config.hop)
        )

    def filters(self, mel: Tensor, pitch: Pitch) -> Filters:
        """The filters of log-mels `(B, T, M)` and their pitch."""
        beside = torch.stack([pitch.log_f0 - _PITCH_CENTRE, pitch.voiced], -1)
        said = self.net(torch.cat([(mel - _MEL_CENTRE) / _MEL_SCALE, beside], -1)).float()
        batch, frames, _ = said.shape
        said = said.reshape(batch, frames * self.config.subframes, 5, self.bins)
        level, phase, noise, cosine, sine = said.unbind(2)
        gain = (level + _HARMONIC_LEVEL).clamp(max=_LOUDEST).exp()
        harmonic = torch.polar(gain, 3.0 * phase)
        return Filters(harmonic, (noise + _NOISE_LEVEL).clamp(max=_LOUDEST).exp(), cosine.tanh(), sine.tanh())

    def excite(self, pitch: Pitch, phase: Tensor, known_at: int = 0) -> tuple[Excitation, Tensor]:
        """The sources of `pitch`, whose phase `(B,)` in periods is known at the beginning of the frame `known_at`.

        Also the phase at the end of each sample, `(B, S)`. The pulses are the sum of all harmonics below half the
        sampling rate, in closed form (Dirichlet's kernel).
        """
        rate, hop = self.mel_config.sample_rate, self.mel_config.hop
        f0 = _samples(pitch.log_f0, hop).exp()
        voiced = _samples(pitch.voiced, hop)
        passed = (f0.double() / rate).cumsum(1)
        before = passed[:, known_at * hop - 1] if known_at else 0.0
        ends = passed + (phase.double() - before)[:, None]
        cycle = (ends % 1.0).float()
        harmonics = torch.floor(0.5 * rate / f0) - 1
        half = math.pi * cycle
        sine = torch.sin(half)
        at_peak = sine.abs() < 1e-4
        kernel = torch.where(
            at_peak, 2 * harmonics + 1, torch.sin((2 * harmonics + 1) * half) / torch.where(at_peak, 1.0, sine)
        )
        pulses = voiced * (kernel - 1) / torch.sqrt(2 * harmonics)
        return Excitation(pulses, voiced * torch.cos(2 * half), voiced * torch.sin(2 * half)), ends

    def harmonics(self, filters: Filters, excitation: Excitation) -> Tensor:
        """The voiced part's transform."""
        return filters.harmonic * self.transform(excitation.pulses)

    def breath(self, filters: Filters, excitation: Excitation, noise: Tensor) -> Tensor:
        """The transform of filtered white noise `(B, S)`."""
        periodic = filters.cosine * self.transform(noise * excitation.cosine)
        periodic = periodic + filters.sine * self.transform(noise * excitation.sine)
        return filters.noise * (self.transform(noise) + periodic)

    def forward(self, mel: Tensor, pitch: Pitch, phase: Tensor, noises: Tensor) -> Tensor:
        """K makings `(K, B, S)` of log-mels `(B, T, M)`, alike but for the white noise `(K, B, S)`.

        phase: at their beginning `(B,)`, in periods.
        """
        filters, (excitation, _) = self.filters(mel, pitch), self.excite(pitch, phase)
        harmonics = self.harmonics(filters, excitation)
        made = [self.inverse(harmonics + self.breath(filters, excitation, noise)) for noise in noises]
        return torch.stack(made)

    def transform(self, samples: Tensor) -> Tensor:
        """Short Fourier transform `(B, T * subframes, bins)` of `(B, S)`, windows about the middle of subframes."""
        pad = (self.config.window - self.hop) // 2
        padded = F.pad(samples, (pad, pad))
        spectrum = torch.stft(
            padded, self.config.window, self.hop, window=self.window, center=False, return_complex=True
        )
        return spectrum.transpose(1, 2)

    def inverse(self, spectrum: Tensor) -> Tensor:
        """The signal `(B, S)` nearest to a spectrum `(B, T * subframes, bins)`: windowed overlap and add."""
        size, hop, frames = self.config.window, self.hop, spectrum.shape[1]
        pieces = (torch.fft.irfft(spectrum, size) * self.window).transpose(1, 2)
        power = self.window.square()[None, :, None].expand(1, -1, frames)
        length = (frames - 1) * hop + size
        added, weight = (F.fold(part, (1, length), (1, size), stride=(1, hop))[:, 0, 0] for part in (pieces, power))
        pad = (size - hop) // 2
        return (added / weight.clamp(min=1e-3))[:, pad : pad + frames * hop]


def _samples(values: Tensor, hop: int) -> Tensor:
    """Values of frames `(B, T)`, which lie at their middles, at each sample `(B, T * hop)`: linear between."""
    return F.interpolate(values[:, None], scale_factor=hop, mode="linear", align_corners=False)[:, 0]
