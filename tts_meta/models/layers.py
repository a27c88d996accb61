"""The layers of the acoustic model. LayerNorm throughout: batch statistics would leak between tasks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, cast

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tts_meta.config import Kernel, Layers, Section, Share, Width, even


class EncoderConfig(Section):
    """Symbols to hidden states."""

    channels: Annotated[Width, AfterValidator(even)] = 384
    """Width D of embedding, convolutions and output."""
    layers: Layers = 3
    """Convolutions before the bidirectional LSTM."""
    kernel: Kernel = 5
    """Symbols each convolution sees."""
    dropout: Share = 0.2
    """Dropout after each convolution."""


class PredictorConfig(Section):
    """Predictor of something of each symbol: duration and range, or prosody."""

    channels: Width = 256
    """Width of its convolutions."""
    layers: Layers = 2
    """Convolutions."""
    kernel: Kernel = 3
    """Symbols each convolution sees."""
    dropout: Share = 0.2
    """Dropout after each convolution."""


class DecoderConfig(Section):
    """Autoregressive LSTM decoder."""

    reduction: int = Field(default=3, gt=0, le=32)
    """Frames R that one step emits."""
    prenet: Width = 256
    """Width of the two prenet layers."""
    prenet_dropout: Share = 0.5
    """Dropout in the prenet while training; keeps the decoder from copying its own last frame."""
    channels: Width = 512
    """Width of the LSTM layers."""
    layers: Layers = 2
    """LSTM layers."""


class PostnetConfig(Section):
    """Convolutional residual correction of the decoder's frames."""

    channels: Width = 256
    """Width of its convolutions."""
    layers: Layers = 5
    """Convolutions."""
    kernel: Kernel = 5
    """Frames each convolution sees."""
    dropout: Share = 0.0
    """Dropout after each convolution but the last."""


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True inside each sequence: `(B,)` to bool `(B, size)`."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


class ConvBlock(nn.Module):
    """Convolution, ReLU, LayerNorm, dropout over `(B, L, C)`; what lies outside the mask `(B, L)` reads as zero."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        hidden = torch.where(mask.unsqueeze(-1), hidden, 0.0)
        hidden = self.conv(hidden.transpose(1, 2)).transpose(1, 2)
        return self.dropout(self.norm(hidden.relu()))


def conv_blocks(inputs: int, config: EncoderConfig | PredictorConfig | PostnetConfig, layers: int) -> nn.ModuleList:
    """So many blocks in a row, from `inputs` channels to those of the configuration."""
    widths = [inputs] + [config.channels] * layers
    return nn.ModuleList(ConvBlock(a, b, config.kernel, config.dropout) for a, b in itertools.pairwise(widths))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread: of short products several are no faster, and far slower beside other work.

    Threads wait for each other after each product; where one has lost its core to another process, all do.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Encoder(nn.Module):
    """Symbols `(B, N)` to hidden states `(B, N, D)`: embedding, convolutions, bidirectional LSTM."""

    def __init__(self, config: EncoderConfig, n_symbols: int) -> None:
        super().__init__()
        width = config.channels
        self.embedding = nn.Embedding(n_symbols, width, padding_idx=0)
        self.convs = conv_blocks(width, config, config.layers)
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        mask = length_mask(lengths, tokens.shape[1])
        hidden = self.embedding(tokens)
        for conv in self.convs:
            hidden = conv(hidden, mask)
        # Packed, so that the backward direction starts at each sentence's own end, whatever stands beside it.
        packed = pack_padded_sequence(hidden, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])[0]


class DurationPredictor(nn.Module):
    """Hidden states `(B, N, D)` to log(1 + frames) `(B, N)` and the spread of each symbol in frames `(B, N)`."""

    def __init__(self, config: PredictorConfig, inputs: int) -> None:
        super().__init__()
        self.convs = conv_blocks(inputs, config, config.layers)
        self.output = nn.Linear(config.channels, 1)
        self.spread = nn.Linear(inputs, 1)

    def forward(self, encoded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden = encoded
        for conv in self.convs:
            hidden = conv(hidden, mask)
        spread = F.softplus(self.spread(encoded).squeeze(-1).float() + 1.0) + 0.3
        return self.output(hidden).squeeze(-1).float(), spread


class ProsodyPredictor(nn.Module):
    """Hidden states `(B, N, D)` to the prosody of each symbol `(B, N, 3)`, as `models/prosody.py` measures it."""

    def __init__(self, config: PredictorConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convs = conv_blocks(inputs, config, config.layers)
        self.output = nn.Linear(config.channels, outputs)

    def forward(self, encoded: Tensor, mask: Tensor) -> Tensor:
        hidden = encoded
        for conv in self.convs:
            hidden = conv(hidden, mask)
        return self.output(hidden).float()


def upsample(encoded: Tensor, durations: Tensor, spread: Tensor, mask: Tensor, steps: int, reduction: int) -> Tensor:
    """Gaussian upsampling (Shen et al. 2020, section 3.2) of `(B, N, D)` to decoder steps `(B, steps, D)`.

    Symbol n covers `durations (B, N)` frames; its weight at a step is a normal density around the centre of those
    frames, `spread (B, N)` frames wide. Symbols of no frames and padding (`mask (B, N)` false) weigh nothing.
    """
    ends = durations.cumsum(1).float()
    centres = ends - 0.5 * durations
    places = (torch.arange(steps, device=encoded.device) + 0.5) * reduction
    distance = (places[None, :, None] - centres[:, None, :]) / spread[:, None, :]  # (B, steps, N)
    logits = -0.5 * distance.square() - spread[:, None, :].log()
    present = (mask & (durations > 0)).unsqueeze(1)
    weights = torch.where(present, logits, -1e9).softmax(-1)
    return weights.to(encoded.dtype) @ encoded


HALF_AT_HAND = "fbgemm" in torch.backends.quantized.supported_engines
"""Whether this torch multiplies by weights in half precision faster than by those in single."""

Product = Callable[[Tensor, Tensor], Tensor]
"""`x (B, I), bias (B, O) or (O,)` to `x @ weight.T + bias`, `(B, O)`."""


def _product(weight: Tensor) -> Product:
    return lambda x, bias: torch.addmm(bias, x, weight.T)


def _half_product(weight: Tensor) -> Product:
    packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), None)
    return lambda x, bias: torch.ops.quantized.linear_dynamic_fp16(x, packed) + bias


class Decoder(nn.Module):
    """Autoregressive decoder: context `(B, T/R, D)` and the frame before each step to frames `(B, T, M)`.

    `forward` is teacher-forced and runs each LSTM layer over all steps at once; `generate` feeds back its own frames.
    Both compute the same function.
    """

    def __init__(self, config: DecoderConfig, context: int, n_mels: int) -> None:
        super().__init__()
        self.reduction, self.n_mels, self.dropout = config.reduction, n_mels, config.prenet_dropout
        self.half_weights = False
        """Whether `generate` rounds weights to half precision, which is as files hold them, and reads half as much."""
        self.prenet = nn.ModuleList([nn.Linear(n_mels, config.prenet), nn.Linear(config.prenet, config.prenet)])
        widths = [config.prenet + context] + [config.channels] * (config.layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(width, config.channels, batch_first=True) for width in widths)
        self.output = nn.Linear(config.channels + context, n_mels * config.reduction)

    def forward(self, context: Tensor, true: Tensor, generator: torch.Generator | None = None) -> Tensor:
        batch, steps = context.shape[:2]
        last = true.reshape(batch, steps, self.reduction, self.n_mels)[:, :-1, -1]
        previous = F.pad(last, (0, 0, 1, 0))  # (B, steps, M): the first step sees zeros
        dropout = self.dropout if self.training else 0.0
        hidden = torch.cat([self._prenet(previous, dropout, generator), context], -1)
        for number, lstm in enumerate(self.lstms):
            out = lstm(hidden)[0]
            hidden = out if number == 0 else hidden + out
        frames = self.output(torch.cat([hidden, context.to(hidden.dtype)], -1))
        return frames.reshape(batch, steps * self.reduction, self.n_mels)

    def generate(
        self, context: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> Iterator[Tensor]:
        """Yield R frames `(B, R, M)` a step of context `(B, T/R, D)`; `dropout` is that of the prenet.

        What the context says to a layer is computed for all steps at once, so that a step multiplies by the weights of
        what changes from step to step, and by nothing else.
        """
        batch, steps = context.shape[:2]
        layers = [cast(nn.LSTM, lstm).all_weights[0] for lstm in self.lstms]
        biases = [one + other for *_, one, other in layers]
        width, size = layers[0][0].shape[1] - context.shape[2], layers[0][1].shape[1]  # of the prenet, of the LSTMs
        told = F.linear(context, layers[0][0][:, width:], biases[0])
        told_output = F.linear(context, self.output.weight[:, size:], self.output.bias)
        product = _half_product if self.half_weights and HALF_AT_HAND and context.device.type == "cpu" else _product
        gates_of = [
            product(torch.cat([into[:, :width] if n == 0 else into, own], 1))
            for n, (into, own, *_) in enumerate(layers)
        ]
        output = product(self.output.weight[:, :size])
        outs = [context.new_zeros(batch, size) for _ in layers]
        cells = [context.new_zeros(batch, size) for _ in layers]
        previous = context.new_zeros(batch, self.n_mels)
        for step in range(steps):
            with one_thread():
                hidden = self._prenet(previous, dropout, generator)
                for number, gates_from in enumerate(gates_of):
                    bias = told[:, step] if number == 0 else biases[number]
                    gates = gates_from(torch.cat([hidden, outs[number]], 1), bias)
                    enter, forget, new, leave = gates.chunk(4, 1)
                    cells[number] = forget.sigmoid() * cells[number] + enter.sigmoid() * new.tanh()
                    outs[number] = leave.sigmoid() * cells[number].tanh()
                    hidden = outs[number] if number == 0 else hidden + outs[number]
                group = output(hidden, told_output[:, step])
            previous = group[:, -self.n_mels :]
            yield group.reshape(batch, self.reduction, self.n_mels)

    def _prenet(self, hidden: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
        for layer in self.prenet:
            hidden = layer(hidden).relu()
            if dropout > 0:
                keep = torch.empty_like(hidden).bernoulli_(1 - dropout, generator=generator)
                hidden = hidden * keep / (1 - dropout)
        return hidden


class Postnet(nn.Module):
    """Convolutional correction of frames `(B, T, M)`; the caller adds it to them."""

    def __init__(self, config: PostnetConfig, n_mels: int) -> None:
        super().__init__()
        self.convs = conv_blocks(n_mels, config, config.layers - 1)
        self.output = nn.Conv1d(config.channels, n_mels, config.kernel, padding=config.kernel // 2)
        self.receptive_radius = config.layers * (config.kernel // 2)
        """Frames on either side that a correction depends on."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        hidden = frames
        for conv in self.convs:
            hidden = conv(hidden, mask)
        hidden = torch.where(mask.unsqueeze(-1), hidden, 0.0)
        return self.output(hidden.transpose(1, 2)).transpose(1, 2)
