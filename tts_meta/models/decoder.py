"""`Decoder` of the acoustic model: an autoregressive LSTM that predicts R mel frames per step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tts_meta.config import Layers, Section, Share, Width
from tts_meta.models.recurrent import LSTM

HAS_HALF_PRODUCT = "fbgemm" in torch.backends.quantized.supported_engines
"""Whether this build of torch has a matrix product with half-precision weights, which is faster than float32."""

_Product = Callable[[Tensor, Tensor], Tensor]
"""A function of `x (B, I)` and `bias`, `(B, O)` or `(O,)`, that returns `x @ weight.T + bias`, `(B, O)`."""


class DecoderConfig(Section):
    """Settings of the decoder, an autoregressive LSTM."""

    reduction: int = Field(default=3, gt=0, le=32)
    """Number of frames R that one step predicts."""
    prenet: Width = 256
    """Width of the two prenet layers."""
    prenet_dropout: Share = 0.5
    """Dropout in the prenet in training. Without this dropout, the decoder learns to copy the previous frame."""
    channels: Width = 512
    """Width of the LSTM layers."""
    layers: Layers = 2
    """Number of LSTM layers."""


class Decoder(nn.Module):
    """Autoregressive decoder: predicts frames `(B, T, M)` from context `(B, T/R, D)` and the frame before each step.

    `forward` is teacher-forced and runs each LSTM layer over all steps at once. `generate` reads the predicted frames.
    Both compute the same function.
    """

    def __init__(self, config: DecoderConfig, context: int, n_mels: int) -> None:
        super().__init__()
        self.reduction, self.n_mels, self.dropout = config.reduction, n_mels, config.prenet_dropout
        self.half_weights = False
        """Whether `generate` rounds weights to half precision, so that a step reads half as much memory. Weights that
        were loaded from a half-precision file do not change."""
        self.prenet = nn.ModuleList([nn.Linear(n_mels, config.prenet), nn.Linear(config.prenet, config.prenet)])
        widths = [config.prenet + context] + [config.channels] * (config.layers - 1)
        self.lstms = nn.ModuleList(LSTM(width, config.channels, batch_first=True) for width in widths)
        self.output = nn.Linear(config.channels + context, n_mels * config.reduction)

    def forward(
        self,
        context: Tensor,
        true_frames: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return frames `(B, T, M)` for context `(B, T/R, D)` and the true frames `(B, T, M)`.

        generator: random generator of the CPU for the prenet's dropout. None uses torch's global generator of the
        device in training mode, and no dropout in evaluation mode.
        """
        batch, steps = context.shape[:2]
        last = true_frames.reshape(batch, steps, self.reduction, self.n_mels)[:, :-1, -1]
        previous = F.pad(last, (0, 0, 1, 0))  # (B, steps, M); the first step reads zeros
        dropout = self.dropout if self.training or generator is not None else 0.0
        hidden = torch.cat([self._prenet(previous, dropout, generator), context], -1)
        for number, lstm in enumerate(self.lstms):
            out = lstm(hidden)[0]
            hidden = out if number == 0 else hidden + out
        frames = self.output(torch.cat([hidden, context.to(hidden.dtype)], -1))
        return frames.reshape(batch, steps * self.reduction, self.n_mels)

    def mix_history(
        self, context: Tensor, true_frames: Tensor, generator: torch.Generator | None, share: float
    ) -> Tensor:
        """Return the true frames `(B, T, M)` with those of a random `share` of the steps replaced by predictions.

        The predictions come from a first pass over the true frames, and have no gradient (scheduled sampling, Bengio et
        al. 2015, in parallel as in Mihaylova and Martins 2019). generator: as in `forward`; it also draws the steps.
        """
        with torch.no_grad():
            predicted = self(context, true_frames, generator).to(true_frames.dtype)
        batch, steps = context.shape[:2]
        device = context.device if generator is None else torch.device("cpu")
        mixed = torch.empty(batch, steps, device=device).bernoulli_(share, generator=generator).to(context.device)
        return torch.where(mixed.repeat_interleave(self.reduction, 1).unsqueeze(-1) > 0, predicted, true_frames)

    def generate(
        self,
        context: Tensor,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
        differentiable: bool = False,
    ) -> Iterator[Tensor]:
        """Yield R frames `(B, R, M)` for each step of context `(B, T/R, D)`; `dropout` is the dropout of the prenet.

        The products of the context with the weights are computed for all steps in advance. A step only computes
        products with values that change from step to step. differentiable: compute without `half_weights`, which has no
        derivative.
        """
        batch, steps = context.shape[:2]
        layers = [cast(LSTM, lstm).all_weights[0] for lstm in self.lstms]
        biases = [input_bias + hidden_bias for *_, input_bias, hidden_bias in layers]
        width, size = layers[0][0].shape[1] - context.shape[2], layers[0][1].shape[1]  # of the prenet, of the LSTMs
        context_gates = F.linear(context, layers[0][0][:, width:], biases[0])
        context_frames = F.linear(context, self.output.weight[:, size:], self.output.bias)
        use_half = self.half_weights and not differentiable and HAS_HALF_PRODUCT and context.device.type == "cpu"
        product = _half_product if use_half else _single_product
        gate_products = [
            product(torch.cat([input_weight[:, :width] if number == 0 else input_weight, hidden_weight], 1))
            for number, (input_weight, hidden_weight, *_) in enumerate(layers)
        ]
        output = product(self.output.weight[:, :size])
        outs = [context.new_zeros(batch, size) for _ in layers]
        cells = [context.new_zeros(batch, size) for _ in layers]
        previous = context.new_zeros(batch, self.n_mels)
        for step in range(steps):
            with one_thread():
                hidden = self._prenet(previous, dropout, generator)
                for number, gate_product in enumerate(gate_products):
                    bias = context_gates[:, step] if number == 0 else biases[number]
                    gates = gate_product(torch.cat([hidden, outs[number]], 1), bias)
                    outs[number], cells[number] = _lstm_cell(gates, cells[number])
                    hidden = outs[number] if number == 0 else hidden + outs[number]
                group = output(hidden, context_frames[:, step])
            previous = group[:, -self.n_mels :]
            yield group.reshape(batch, self.reduction, self.n_mels)

    def _prenet(self, hidden: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
        for layer in self.prenet:
            hidden = layer(hidden).relu()
            if dropout > 0:
                # A generator draws on the CPU, so that the same seed gives the same numbers on every device.
                device = hidden.device if generator is None else torch.device("cpu")
                keep = torch.empty_like(hidden, device=device).bernoulli_(1 - dropout, generator=generator)
                keep = keep.to(hidden.device)
                hidden = hidden * keep / (1 - dropout)
        return hidden


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread inside the block.

    Several threads are not faster for small matrix products, and far slower on a busy machine. The threads wait for
    each other after each product. If another process takes the core of one thread, all threads wait.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output and the new cell state `(B, C)` of an LSTM.

    gates: `(B, 4 C)`, in torch's order, before the activations. cell: the previous cell state, `(B, C)`.
    """
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4, 1)
    cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * candidate.tanh()
    return output_gate.sigmoid() * cell.tanh(), cell


def _single_product(weight: Tensor) -> _Product:
    return lambda x, bias: torch.addmm(bias, x, weight.T)


def _half_product(weight: Tensor) -> _Product:
    packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), None)
    return lambda x, bias: torch.ops.quantized.linear_dynamic_fp16(x, packed) + bias
