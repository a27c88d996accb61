"""`HifiGan`: the HiFi-GAN generator, and the vocoder that runs it (Kong, Kim and Bae 2020, arXiv 2010.05646).

Parameters have the names of the public checkpoints (`conv_pre`, `ups.0`, `resblocks.0.convs1.0`, `conv_post`). Each
layer has its own prefix, so a partition has one module per layer. Weight normalisation only helps training from
scratch; `hifigan_weights` folds it into the weights.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig
from tts_meta.context import default_torch_state
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.parsing import first_fault
from tts_meta.tensors import check_finite

SLOPE = 0.1
LAST_SLOPE = 0.01  # The reference code has torch's default slope before the last layer, and public weights need it.


_Sizes = Annotated[tuple[Annotated[int, Field(gt=0, le=1024)], ...], Field(max_length=16)]


class HifiGanConfig(BaseModel):
    """Sizes of a generator, with the keys of the public `config.json`; keys for training are ignored.

    The product of `upsample_rates` is the hop in samples. Each stage halves the channels and averages the residual
    blocks, one for each entry of `resblock_kernel_sizes`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    # Some published files contain the number 1 or 2 instead of the string.
    resblock: Annotated[Literal["1", "2"], BeforeValidator(str)] = "1"
    upsample_rates: _Sizes = (8, 8, 2, 2)
    upsample_kernel_sizes: _Sizes = (16, 16, 4, 4)
    upsample_initial_channel: int = Field(default=512, gt=0, le=8192)
    resblock_kernel_sizes: _Sizes = (3, 7, 11)
    resblock_dilation_sizes: Annotated[tuple[_Sizes, ...], Field(max_length=16)] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    num_mels: int = Field(default=80, gt=0, le=1024)
    sampling_rate: int = Field(default=22050, ge=1000, le=768_000)
    n_fft: int = Field(default=1024, gt=0, le=65536)
    fmin: float = 0.0
    fmax: float | None = 8000.0

    @model_validator(mode="after")
    def _fits(self) -> HifiGanConfig:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes) or not self.upsample_rates:
            raise ValueError("upsample_rates and upsample_kernel_sizes need the same number of entries, at least one")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes) or not self.resblock_kernel_sizes:
            raise ValueError(
                "resblock_kernel_sizes and resblock_dilation_sizes need the same number of entries, at least one"
            )
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(
                    f"an upsampling kernel of {kernel} does not fit the rate {rate}; kernel - rate must be 0, 2, 4, ..."
                )
        if not all(self.resblock_dilation_sizes):
            raise ValueError("each entry of resblock_dilation_sizes needs at least one dilation")
        if any(kernel % 2 == 0 for kernel in self.resblock_kernel_sizes):
            raise ValueError("resblock_kernel_sizes must be odd")
        if self.upsample_initial_channel % 2 ** len(self.upsample_rates):
            stages = len(self.upsample_rates)
            raise ValueError(
                f"upsample_initial_channel must be divisible by {2**stages}, because {stages} stages halve it"
            )
        if self.hop > 65536:
            raise ValueError(f"upsample_rates multiply to a hop of {self.hop} samples, more than 65536")
        try:
            _ = self.mel_config
        except ValidationError as error:
            raise ValueError(f"the mel settings are not valid: {first_fault(error, MelConfig)}") from None
        return self

    @property
    def hop(self) -> int:
        """Samples per mel frame."""
        return math.prod(self.upsample_rates)

    @property
    def mel_config(self) -> MelConfig:
        """Settings of the mels that the generator was trained on. `fmax` null means half the sampling rate."""
        return MelConfig(
            sample_rate=self.sampling_rate,
            n_fft=self.n_fft,
            hop=self.hop,
            n_mels=self.num_mels,
            f_min=self.fmin,
            f_max=self.sampling_rate / 2 if self.fmax is None else self.fmax,
        )


V1 = HifiGanConfig()
V2 = HifiGanConfig(upsample_initial_channel=128)
V3 = HifiGanConfig(
    resblock="2",
    upsample_rates=(8, 8, 4),
    upsample_kernel_sizes=(16, 16, 8),
    upsample_initial_channel=256,
    resblock_kernel_sizes=(3, 5, 7),
    resblock_dilation_sizes=((1, 2), (2, 6), (3, 12)),
)


class Conv(nn.Conv1d):
    """A convolution that preserves the length of `(B, C, T)`, or of `(B, C, 1, T)` in channels-last layout."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() == 3:
            return super().forward(input)
        padding, dilation = (0, int(self.padding[0])), (1, self.dilation[0])
        return F.conv2d(input, self.weight.unsqueeze(2), self.bias, padding=padding, dilation=dilation)


class Upsample(nn.ConvTranspose1d):
    """A transposed convolution that multiplies the length by `rate`; the input has the same shapes as in `Conv`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, rate: int) -> None:
        super().__init__(inputs, outputs, kernel, rate, padding=(kernel - rate) // 2)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if input.dim() == 3:
            return super().forward(input, output_size)
        stride, padding = (1, self.stride[0]), (0, int(self.padding[0]))
        return F.conv_transpose2d(input, self.weight.unsqueeze(2), self.bias, stride=stride, padding=padding)


class ResBlock1(nn.Module):
    """Residual pairs of a dilated and an undilated convolution, `(B, C, T)` to the same shape (Kong et al. 2020)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(Conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(Conv(channels, channels, kernel) for _ in dilations)
        self.receptive_radius = sum((kernel - 1) * (dilation + 1) // 2 for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            hidden = first(_activate(x, first))
            x = x + second(F.leaky_relu(hidden, SLOPE, inplace=True))
        return x


class ResBlock2(nn.Module):
    """Residual dilated convolutions, `(B, C, T)` to the same shape; used by V3."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.receptive_radius = sum((kernel - 1) * dilation // 2 for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(_activate(x, conv))
        return x


def _activate(x: Tensor, layer: nn.Module) -> Tensor:
    """Apply a leaky ReLU in the dtype of the layer's weights; the residual stream can have a higher precision."""
    weight: Tensor = layer.weight  # pyright: ignore[reportAssignmentType]
    return F.leaky_relu(x.to(weight.dtype), SLOPE)


class HifiGanGenerator(nn.Module):
    """Waveform generator: log-mels `(B, T, M)` to samples `(B, T * hop)` in [-1, 1] (Kong et al. 2020, section 2.2)."""

    def __init__(self, config: HifiGanConfig = V1) -> None:
        super().__init__()
        self.config = config
        channels = config.upsample_initial_channel
        block = ResBlock1 if config.resblock == "1" else ResBlock2
        self.conv_pre = Conv(config.num_mels, channels, 7)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, width in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(Upsample(channels, channels // 2, width, rate))
            channels //= 2
            for kernel, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(block(channels, kernel, dilations))
        self.conv_post = Conv(channels, 1, 7)

    def forward(self, mel: Tensor) -> Tensor:
        return self.generate(mel.transpose(1, 2)).squeeze(1)

    def generate(self, x: Tensor) -> Tensor:
        """Return samples for channels-first mels: `(B, 1, S)` for `(B, M, T)`, or `(B, 1, 1, S)` for `(B, M, 1, T)`."""
        x = self.conv_pre(x)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = self.stage(stage)
            total = blocks[0](x)
            for block in blocks[1:]:
                total = total.add_(block(x))
            x = total.div_(len(blocks))
        return torch.tanh(self.conv_post(F.leaky_relu(x, LAST_SLOPE)))

    def stage(self, index: int) -> nn.ModuleList:
        """Return the parallel residual blocks after `ups[index]`."""
        count = len(self.config.resblock_kernel_sizes)
        return self.resblocks[index * count : (index + 1) * count]

    @property
    def receptive_radius(self) -> int:
        """Number of frames on each side of a frame that the frame's samples depend on, or up to two more."""
        frames, rate = 3.0, 1  # conv_pre
        for stage, up in enumerate(self.config.upsample_rates):
            frames += self.config.upsample_kernel_sizes[stage] / (rate * up)
            rate *= up
            frames += max(int(block.receptive_radius) for block in self.stage(stage)) / rate  # pyright: ignore[reportArgumentType]
        return math.ceil(frames + 3 / rate)


class HifiGan:
    """Vocoder that runs a copy of a generator, without gradients; see `Vocoder` for the contract.

    Long mels are computed in chunks of `chunk_frames` frames, so that memory is bounded. Each chunk includes as much
    context as its samples depend on, so the result does not depend on the chunks. `precision="bfloat16"` runs the
    residual blocks of all stages except the last in bfloat16. This is about twice as fast on a CPU with AVX512-BF16 or
    AMX and slower on others. The error of bfloat16 is 30 to 45 dB below the signal.
    """

    notice: str | None = None

    def __init__(
        self,
        generator: HifiGanGenerator,
        name: str = "hifigan",
        precision: Literal["float32", "bfloat16"] = "float32",
        chunk_frames: int = 1024,
    ) -> None:
        if precision not in ("float32", "bfloat16"):
            raise UsageError(f"unknown vocoder precision '{precision}'; use float32 or bfloat16")
        self.name = name
        self.mel_config = generator.config.mel_config
        self.sample_rate = generator.config.sampling_rate
        self.hop = generator.config.hop
        self.chunk_frames = chunk_frames
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        if precision == "bfloat16":
            # The other layers stay in float32, because bfloat16 saves little time there. With all layers in bfloat16,
            # the error is 7 to 28 dB below the signal instead of 30 to 45 dB. The last stage alone adds four times the
            # error in the log-mel.
            for stage in range(len(self.generator.ups) - 1):
                self.generator.stage(stage).to(torch.bfloat16)
        for parameter in self.generator.parameters():
            if parameter.dim() == 3:  # channels last in memory, for the fastest bfloat16 kernels of oneDNN
                parameter.data = parameter.data.transpose(1, 2).contiguous().transpose(1, 2)

    @default_torch_state()
    @torch.no_grad()
    def __call__(self, mel: Tensor) -> Tensor:
        bands = self.generator.config.num_mels
        if mel.dim() != 3 or mel.shape[2] != bands:
            raise TtsMetaError(f"vocoder '{self.name}' takes mels (B, T, {bands}), not {tuple(mel.shape)}")
        mel = mel.to(self.generator.conv_pre.weight)
        frames, radius = mel.shape[1], self.generator.receptive_radius
        chunks = [mel.new_zeros(mel.shape[0], 0)]
        for start in range(0, frames, self.chunk_frames):
            first, end = max(0, start - radius), min(frames, start + self.chunk_frames)
            chunk = self._generate(mel[:, first : end + radius])
            chunks.append(chunk[:, (start - first) * self.hop : (end - first) * self.hop])
        samples = torch.cat(chunks, dim=1)
        check_finite("the sound", samples, f"vocoder '{self.name}'", "copy it again")
        return samples

    def _generate(self, mel: Tensor) -> Tensor:
        if mel.device.type != "cpu":
            return self.generator(mel)
        # (B, T, M) in memory is (B, M, 1, T) in channels-last layout, so this is a view.
        return self.generator.generate(mel.transpose(1, 2).unsqueeze(2)).flatten(1)
