"""`EcapaEncoder`: the second speaker encoder of the benchmarks, a small ECAPA-TDNN with cohort centring.

The architecture is that of Desplanques, Thienpondt, Demuynck 2020 (arXiv 2005.07143): convolutions over time with
squeeze-excitation, outputs of all blocks together, and statistics over time weighted by attention. It shares neither
architecture nor training data with Resemblyzer (`speaker_encoder.py`), an LSTM. No model of this project was tuned by
it. `tts_meta.train.speaker_verifier` trains it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.audio.waveform import SPEECH_RATE, Samples, at_rate
from tts_meta.config import Section, Width, dump_config, parse_config
from tts_meta.context import SkipInitialization
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_folder, sha256_file, write_tensors
from tts_meta.headers import Digest, Header, read_header, read_json
from tts_meta.models.speaker_encoder import Embedding, trim_long_silences
from tts_meta.tensors import TensorFile, check_finite, to_float32

MELS, N_FFT, WINDOW, HOP = 80, 512, 400, 160
LOWEST_HZ, HIGHEST_HZ = 20.0, 7600.0
LEVEL_DBFS = -26.0
"""Root mean square of every waveform before its mels are computed."""
_FLOOR = 1e-6
_DILATIONS = (2, 3, 4)
_FORMAT = 1
_ADVICE = "install tts-meta again, or train the encoder again"


class EcapaConfig(Section):
    """Sizes of the encoder."""

    channels: Width = 256
    """Channels of the blocks; a multiple of `groups`."""
    groups: Annotated[int, Field(gt=1, le=64)] = 8
    """Groups of channels of a Res2Net convolution."""
    pooled: Width = 512
    """Channels whose mean and deviation over time are computed."""
    bottleneck: Width = 64
    """Channels inside attention and squeeze-excitation."""
    embedding: Width = 128
    """Size of the embedding."""


class EcapaState(Header):
    """Content of `state.json`."""

    format: int
    sha256: Digest


class EcapaEncoder(nn.Module):
    """Embeds speech as a unit vector `(E,)`; `embed` subtracts the mean of a cohort of speakers first."""

    cohort_mean: Tensor
    """Mean unit embedding `(E,)` of real speech of the training speakers."""

    def __init__(self, config: EcapaConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EcapaConfig()
        if config.channels % config.groups:
            raise TtsMetaError(f"channels is {config.channels}, not a multiple of groups ({config.groups}); change one")
        self.input = _convolution(MELS, config.channels, 5, stride=2)
        self.blocks = nn.ModuleList(_Block(config, dilation) for dilation in _DILATIONS)
        self.mix = nn.Sequential(nn.Conv1d(config.channels * len(_DILATIONS), config.pooled, 1), nn.ReLU())
        self.pooling = _AttentiveStatistics(config)
        self.output = nn.Sequential(
            nn.BatchNorm1d(2 * config.pooled),
            nn.Linear(2 * config.pooled, config.embedding),
            nn.BatchNorm1d(config.embedding),
        )
        self.register_buffer("cohort_mean", torch.zeros(config.embedding))

    @classmethod
    def load(cls, device: str | torch.device = "cpu", folder: Path | None = None) -> EcapaEncoder:
        """Return the encoder of a folder, by default the shipped one, in evaluation mode on `device`.

        Raises TtsMetaError if a file is missing or damaged, or the weights do not fit `config.json`.
        """
        folder = folder or shipped_encoder()
        state = read_header(folder / "state.json", EcapaState, _ADVICE)
        if state.format != _FORMAT:
            raise TtsMetaError(f"{folder}: an encoder of another format; this version reads format {_FORMAT}")
        path = folder / "model.safetensors"
        file = TensorFile.open(path, _ADVICE)
        if sha256_file(path) != state.sha256:
            raise TtsMetaError(f"{folder}: the weights are not those that state.json names (SHA-256); {_ADVICE}")
        config = parse_config(read_json(folder / "config.json", _ADVICE), EcapaConfig, str(folder / "config.json"))
        with SkipInitialization(shapes_only=True):
            file.check_like(cls(config).state_dict(), "weights that do not fit config.json")
        with SkipInitialization():
            encoder = cls(config)
        encoder.load_state_dict(to_float32(file.read(), str(path), _ADVICE))
        return encoder.requires_grad_(False).eval().to(device)

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write `model.safetensors` (half precision), `config.json` and `state.json` with the facts in `state`."""
        weights = {
            name: value.half() if value.is_floating_point() else value
            for name, value in ((name, value.cpu().contiguous()) for name, value in self.state_dict().items())
        }
        for name, value in weights.items():
            check_finite(name, value, str(folder), "not written, the training diverged; lower the learning rate")
        with atomic_folder(folder) as temporary:
            write_tensors(temporary / "model.safetensors", weights)
            digest = sha256_file(temporary / "model.safetensors")
            (temporary / "config.json").write_text(dump_config(self.config), encoding="utf-8")
            text = json.dumps({"format": _FORMAT, "sha256": digest, **state}, indent=1)
            (temporary / "state.json").write_text(f"{text}\n", encoding="utf-8")

    def forward(self, mels: Tensor) -> Tensor:
        """Map log-mels `(B, T, 80)` of `log_mels` to unit embeddings `(B, E)`. Padding is not allowed."""
        features = self.input(mels.transpose(1, 2))
        outputs = []
        for block in self.blocks:
            features = block(features)
            outputs.append(features)
        return nn.functional.normalize(self.output(self.pooling(self.mix(torch.cat(outputs, 1)))).float(), dim=1)

    def embed(self, waveform: object, rate: int) -> Embedding:
        """Return the centred unit embedding `(E,)` of an utterance `(S,)` at `rate` Hz.

        Long pauses are removed first, and the level does not matter. The embedding is (e - m) / |e - m|, where e is the
        unit embedding and m is `cohort_mean`. Raises TtsMetaError if the waveform is unusable or silent.
        """
        embedding = self.embed_uncentred(waveform, rate) - self.cohort_mean.cpu().numpy()
        return (embedding / np.linalg.norm(embedding)).astype(np.float32)

    @torch.no_grad()
    def embed_uncentred(self, waveform: object, rate: int) -> Embedding:
        """Return the unit embedding `(E,)` of an utterance without centring. Raises the errors of `embed`."""
        samples = speech_at_level(at_rate(waveform, rate))
        samples = np.pad(samples, (0, max(0, SPEECH_RATE // 2 - len(samples))))
        mels = log_mels(torch.from_numpy(samples).to(self.cohort_mean.device)[None])
        return self(mels)[0].cpu().numpy()


def speech_at_level(samples: Samples) -> Samples:
    """Return samples `(S,)` at 16 kHz with a level of -26 dBFS and without long pauses.

    Raises TtsMetaError for silence.
    """
    samples = _at_level(samples)
    return _at_level(trim_long_silences(samples))


def _at_level(samples: Samples) -> Samples:
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    if rms < 1e-7:
        raise TtsMetaError("the waveform is silent, so its voice cannot be compared; check what produced it")
    return (samples * (10 ** (LEVEL_DBFS / 20) / rms)).astype(np.float32)


def log_mels(samples: Tensor) -> Tensor:
    """Return log-mels `(B, T, 80)` of samples `(B, S)` at 16 kHz; the mean over time of each band is subtracted."""
    window = torch.hann_window(WINDOW, device=samples.device)
    spectrum = torch.stft(
        samples, N_FFT, HOP, WINDOW, window=window, center=True, pad_mode="constant", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    mels = (power.transpose(1, 2) @ _mel_bank().to(samples.device) + _FLOOR).log()
    return mels - mels.mean(1, keepdim=True)


@cache
def _mel_bank() -> Tensor:
    from torchaudio.functional import melscale_fbanks

    return melscale_fbanks(N_FFT // 2 + 1, LOWEST_HZ, HIGHEST_HZ, MELS, SPEECH_RATE)


def shipped_encoder() -> Path:
    """Return the folder of the encoder that is shipped with the package. Raises TtsMetaError if it is missing."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_checkpoints", package.parent / "checkpoints"):
        if (candidate / "speaker_verifier" / "state.json").is_file():
            return candidate / "speaker_verifier"
    raise TtsMetaError("no ECAPA speaker encoder is shipped with this installation; install tts-meta again")


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv1d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation)
    return nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm1d(outputs))


class _Block(nn.Module):
    """A residual block `(B, C, T) -> (B, C, T)`: a Res2Net convolution between two linear maps, squeeze-excitation."""

    def __init__(self, config: EcapaConfig, dilation: int) -> None:
        super().__init__()
        self.groups, width = config.groups, config.channels // config.groups
        self.before = _convolution(config.channels, config.channels, 1)
        self.convolutions = nn.ModuleList(
            _convolution(width, width, 3, dilation=dilation) for _ in range(config.groups - 1)
        )
        self.after = _convolution(config.channels, config.channels, 1)
        self.excitation = nn.Sequential(
            nn.Linear(config.channels, config.bottleneck),
            nn.ReLU(),
            nn.Linear(config.bottleneck, config.channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        first, *others = self.before(features).chunk(self.groups, 1)
        outputs = [first]
        for convolution, group in zip(self.convolutions, others, strict=True):
            outputs.append(convolution(group if len(outputs) == 1 else group + outputs[-1]))
        result = self.after(torch.cat(outputs, 1))
        return features + result * self.excitation(result.mean(2))[:, :, None]


class _AttentiveStatistics(nn.Module):
    """Mean and standard deviation over time `(B, C, T) -> (B, 2C)`, weighted by attention for each channel."""

    def __init__(self, config: EcapaConfig) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv1d(3 * config.pooled, config.bottleneck, 1),
            nn.Tanh(),
            nn.Conv1d(config.bottleneck, config.pooled, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        # The attention also receives the statistics without attention, as context.
        features = features.float()
        context = _statistics(features, torch.full_like(features, 1 / features.shape[2]))[:, :, None]
        inputs = torch.cat([features, context.expand(-1, -1, features.shape[2])], 1)
        return _statistics(features, self.attention(inputs).float().softmax(2))


def _statistics(features: Tensor, weights: Tensor) -> Tensor:
    mean = (features * weights).sum(2)
    variance = (features.square() * weights).sum(2) - mean.square()
    return torch.cat([mean, variance.clamp(min=1e-5).sqrt()], 1)
