"""`SourceFilterGenerator`, the network of the light vocoder: filters a harmonic source and noise in the STFT domain.

Data flow: mel frames -> `PitchPredictor` (F0 and voicing per frame) -> `Excitation` (a pulse train at F0, and the phase
of each sample). Mel and pitch -> ConvNeXt blocks at the frame rate -> `Filters` -> inverse STFT. Pulses and noise have
flat spectra, so only the filters determine the spectral envelope of the output. The spectrum X of the output is

    X = H P + A (Z + C Z_cos + S Z_sin)

P and Z are the STFTs of the pulses and of white noise. Z_cos and Z_sin are the STFTs of the noise times the cosine and
the sine of the pulses' phase, because breath noise is louder in one part of each period. The filters are H (complex), A
(real and positive), and C and S (in (-1, 1)).

The networks run once per frame, 86 times a second, as in Vocos (Siuzdak 2023, arXiv 2306.00814). The method to take
phases from a pulse train is from Wang, Takaki and Yamagishi 2019 (arXiv 1904.12088). HiFTNet (Li et al. 2023,
arXiv 2309.09493) uses such phases in an inverse-STFT generator. With these phases, the network does not need a
discriminator to learn periodicity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn import functional as F

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Kernel, Layers, Section, Width, even
from tts_meta.devices import to_float64
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.convnext import ConvNext
from tts_meta.models.vocoders.pitch_predictor import Pitch, PitchConfig, PitchPredictor, normalise_mel

EDGE_FRAMES = 4
"""Number of frames at each end of a crop that losses ignore, because these frames depend on frames outside the crop."""
_LOG_F0_MEAN = 5.0
"""Mean ln F0 of voices: 148 Hz."""
_HARMONIC_LOG_GAIN, _NOISE_LOG_GAIN = -3.0, -4.0
"""Natural logarithms of the gains for a network output of zero."""
_MAX_LOG_GAIN = 8.0
"""Largest natural logarithm of a gain. The limit prevents an overflow for any weights."""


class SourceFilterConfig(Section):
    """Settings of the light vocoder (`models/vocoders/source_filter.py`)."""

    channels: Width = 384
    """Width of the blocks."""
    layers: Layers = 6
    """Number of ConvNeXt blocks."""
    kernel: Kernel = 7
    """Kernel size of the blocks, in frames."""
    expansion: int = Field(default=3, gt=0, le=64)
    """Width inside a block, as a multiple of `channels`."""
    window: Annotated[int, Field(ge=4, le=65536), AfterValidator(even)] = 512
    """Length in samples of the window of the STFT."""
    subframes: int = Field(default=2, gt=0, le=64)
    """Number of filters per mel frame. The hop of the STFT is the hop of the mel divided by `subframes`."""
    pitch: PitchConfig = PitchConfig()


@dataclass(frozen=True)
class Excitation:
    """Sources `(B, S)`, scaled by voicing: pulses of unit power at F0, cosine and sine of the pulses' phase."""

    pulses: Tensor
    cosine: Tensor
    sine: Tensor


@dataclass(frozen=True)
class Filters:
    """H (`harmonic`, complex), A (`noise`), C (`cosine`), S (`sine`), each `(B, T * subframes, window // 2 + 1)`."""

    harmonic: Tensor
    noise: Tensor
    cosine: Tensor
    sine: Tensor


class SourceFilterGenerator(nn.Module):
    """Generates samples from log-mels.

    Frame t gives the `hop` samples from t * hop on. The pitch of frame t is the pitch at the middle of these samples.
    """

    window: Tensor

    def __init__(self, config: SourceFilterConfig, mel: MelConfig) -> None:
        super().__init__()
        self.config, self.mel_config = config, mel
        self.hash = ""
        """SHA-256 of the file of the weights; empty for weights that were not read from a file."""
        self.learner: SavedLearner | None = None
        """The learner that was meta-trained with the generator, or None."""
        self.state: dict[str, Any] = {}
        """How the generator was trained."""
        self.hop = mel.hop // config.subframes
        self.bins = config.window // 2 + 1
        self.pitch = PitchPredictor(config.pitch, mel)
        outputs = config.subframes * 5 * self.bins
        self.net = ConvNext(mel.n_mels + 2, outputs, config.channels, config.layers, config.kernel, config.expansion)
        self.register_buffer("window", torch.hann_window(config.window), persistent=False)

    @property
    def prior(self) -> ModulePrior | None:
        """Meta-learned σ² of the generator's modules, or None."""
        return None if self.learner is None else self.learner.prior

    @property
    def receptive_radius(self) -> int:
        """Number of frames on each side of a frame that the frame's samples depend on."""
        networks = self.pitch.net.receptive_radius + self.net.receptive_radius
        return networks + 1 + -(-self.config.window // self.mel_config.hop)

    def filters(self, mel: Tensor, pitch: Pitch) -> Filters:
        """Return the filters for log-mels `(B, T, M)` and their pitch."""
        pitch_inputs = torch.stack([pitch.log_f0 - _LOG_F0_MEAN, pitch.voiced], -1)
        outputs = self.net(torch.cat([normalise_mel(mel), pitch_inputs], -1)).float()
        batch, frames, _ = outputs.shape
        outputs = outputs.reshape(batch, frames * self.config.subframes, 5, self.bins)
        level, phase, noise, cosine, sine = outputs.unbind(2)
        gain = (level + _HARMONIC_LOG_GAIN).clamp(max=_MAX_LOG_GAIN).exp()
        noise_gain = (noise + _NOISE_LOG_GAIN).clamp(max=_MAX_LOG_GAIN).exp()
        return Filters(torch.polar(gain, 3.0 * phase), noise_gain, cosine.tanh(), sine.tanh())

    def excitation(self, pitch: Pitch, phase: Tensor, phase_frame: int = 0) -> tuple[Excitation, Tensor]:
        """Return the sources for a pitch, and the phase at the end of each sample, `(B, S)`, in periods.

        phase: `(B,)`, in periods, at the start of frame `phase_frame`. Phases have float64; they are on the CPU if the
        device of the pitch has no float64. The pulses are the sum of all harmonics below
        half the sampling rate, in closed form (Dirichlet kernel).
        """
        rate, hop = self.mel_config.sample_rate, self.mel_config.hop
        f0 = _to_samples(pitch.log_f0, hop).exp()
        voiced = _to_samples(pitch.voiced, hop)
        elapsed = (to_float64(f0) / rate).cumsum(1)
        before = elapsed[:, phase_frame * hop - 1] if phase_frame else 0.0
        ends = elapsed + (to_float64(phase) - before)[:, None]
        cycle = (ends % 1.0).float().to(f0.device)
        harmonics = torch.floor(0.5 * rate / f0) - 1
        half_angle = math.pi * cycle
        sine = torch.sin(half_angle)
        at_peak = sine.abs() < 1e-4
        kernel = torch.where(
            at_peak, 2 * harmonics + 1, torch.sin((2 * harmonics + 1) * half_angle) / torch.where(at_peak, 1.0, sine)
        )
        pulses = voiced * (kernel - 1) / torch.sqrt(2 * harmonics)
        return Excitation(pulses, voiced * torch.cos(2 * half_angle), voiced * torch.sin(2 * half_angle)), ends

    def harmonic_spectrum(self, filters: Filters, excitation: Excitation) -> Tensor:
        """Return H P, the STFT of the voiced part."""
        return filters.harmonic * self.stft(excitation.pulses)

    def noise_spectrum(self, filters: Filters, excitation: Excitation, noise: Tensor) -> Tensor:
        """Return A (Z + C Z_cos + S Z_sin), the STFT of the noise part, for white noise `(B, S)`."""
        periodic = filters.cosine * self.stft(noise * excitation.cosine)
        periodic = periodic + filters.sine * self.stft(noise * excitation.sine)
        return filters.noise * (self.stft(noise) + periodic)

    def forward(self, mel: Tensor, pitch: Pitch, phase: Tensor, noises: Tensor) -> Tensor:
        """Return K renditions `(K, B, S)` of log-mels `(B, T, M)`, which differ only in the noise.

        phase: `(B,)`, in periods, at the start of frame 0. noises: white noise `(K, B, S)`.
        """
        filters, (excitation, _) = self.filters(mel, pitch), self.excitation(pitch, phase)
        harmonic = self.harmonic_spectrum(filters, excitation)
        renditions = [self.istft(harmonic + self.noise_spectrum(filters, excitation, noise)) for noise in noises]
        return torch.stack(renditions)

    def stft(self, samples: Tensor) -> Tensor:
        """Return the STFT `(B, T * subframes, bins)` of `(B, S)`, with windows centred on the subframes."""
        pad = (self.config.window - self.hop) // 2
        padded = F.pad(samples, (pad, pad))
        spectrum = torch.stft(
            padded, self.config.window, self.hop, window=self.window, center=False, return_complex=True
        )
        return spectrum.transpose(1, 2)

    def istft(self, spectrum: Tensor) -> Tensor:
        """Return the signal `(B, S)` closest to a spectrum `(B, T * subframes, bins)`, by windowed overlap-add."""
        size, hop, frames = self.config.window, self.hop, spectrum.shape[1]
        windows = (torch.fft.irfft(spectrum, size) * self.window).transpose(1, 2)
        power = self.window.square()[None, :, None].expand(1, -1, frames)
        length = (frames - 1) * hop + size
        total, weight = (F.fold(part, (1, length), (1, size), stride=(1, hop))[:, 0, 0] for part in (windows, power))
        pad = (size - hop) // 2
        return (total / weight.clamp(min=1e-3))[:, pad : pad + frames * hop]


def _to_samples(values: Tensor, hop: int) -> Tensor:
    """Interpolate values at the middles of frames `(B, T)` linearly to samples `(B, T * hop)`."""
    return F.interpolate(values[:, None], scale_factor=hop, mode="linear", align_corners=False)[:, 0]
