"""Losses of the acoustic model: the negative log-likelihood under one of two densities, and the mel L1 distance.

Pretraining and evaluation use Laplace densities. Adaptation and meta-training use hyperbolic secant densities: they
have the same tails, and second derivatives everywhere. A Laplace density has none where the error is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tts_meta.corpus import Batch
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.acoustic_output import AcousticOutput
from tts_meta.models.conv_blocks import length_mask

Density = Literal["laplace", "hyperbolic-secant"]


@dataclass(frozen=True)
class AcousticLoss:
    """Losses of a batch: scalar tensors, sums over the batch in nats.

    mel: -log p of the true log-mel given the prediction after the postnet. mel_before: -log p given the prediction
    before the postnet, an auxiliary loss. duration: -log p of log(1 + frames). prosody: -log p of the prosody of
    symbols that have frames. frames, symbols: numbers of frames and symbols in the sums.
    """

    mel: Tensor
    mel_before: Tensor
    duration: Tensor
    prosody: Tensor
    frames: Tensor
    symbols: Tensor

    @property
    def nll(self) -> Tensor:
        """-log p(mel, durations | text, speaker), which meta-learning and cloning minimise.

        Prosody is a function of mel and durations, so the likelihood factors as p(durations) p(prosody | durations)
        p(mel | prosody, durations).
        """
        return self.mel + self.duration + self.prosody

    def per_unit(self, n_mels: int) -> Tensor:
        """Return the loss of pretraining, a scalar.

        The loss is the nats per mel value, before and after the postnet, plus 0.1 times the nats per symbol.
        """
        per_symbol = (self.duration + self.prosody) / self.symbols
        return (self.mel + self.mel_before) / (self.frames * n_mels) + 0.1 * per_symbol


def acoustic_loss(
    model: AcousticModel, output: AcousticOutput, batch: Batch, density: Density = "laplace"
) -> AcousticLoss:
    """Return the negative log-likelihood of a batch, given the output of the teacher-forced pass, without padding."""
    nll = _DENSITIES[density]
    frames, symbols, has_frames = _masks(batch)
    scale = model.mel_log_scale
    predicted, true_durations = output.encoder_output, batch.durations.float().log1p()
    return AcousticLoss(
        mel=_masked_sum(nll, output.mel, batch.mel, scale, frames),
        mel_before=_masked_sum(nll, output.mel_before, batch.mel, scale, frames),
        duration=_masked_sum(nll, predicted.log_durations, true_durations, model.duration_log_scale, symbols),
        prosody=_masked_sum(nll, predicted.prosody, predicted.true_prosody, model.prosody_log_scale, has_frames),
        frames=frames.sum(),
        symbols=symbols.sum(),
    )


def outputs_with_curvature(model: AcousticModel, output: AcousticOutput, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the outputs that `AcousticLoss.nll` depends on, and the curvature of the likelihood at them, `(N,)` each.

    The outputs are the log-mel after the postnet, the log-durations and the prosody, padding included. The curvature
    is the second derivative of the negative log of a hyperbolic secant density of scale b at the error r,
    1 / (b cosh(r/b))², and 0 for padding.
    """
    frames, symbols, has_frames = _masks(batch)
    predicted, values, curvature = output.encoder_output, list[Tensor](), list[Tensor]()
    for value, true, log_scale, mask in (
        (output.mel, batch.mel, model.mel_log_scale, frames),
        (predicted.log_durations, batch.durations.float().log1p(), model.duration_log_scale, symbols),
        (predicted.prosody, predicted.true_prosody, model.prosody_log_scale, has_frames),
    ):
        values.append(value.flatten())
        inverse_scale = torch.exp(-log_scale)
        slope = torch.tanh((value - true) * inverse_scale)
        second = inverse_scale.square() * (1 - slope.square())
        curvature.append(torch.where(mask, second, 0.0).expand(value.shape).flatten())
    return torch.cat(values), torch.cat(curvature)


def mel_l1(output: AcousticOutput, batch: Batch) -> Tensor:
    """Return the mean absolute difference of log-mels in nats, a scalar, without padding."""
    inside = length_mask(batch.mel_lengths, batch.mel.shape[1])
    return (output.mel - batch.mel).abs().mean(-1)[inside].mean()


def _masks(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return where the batch has frames `(B, T, 1)`, symbols `(B, N)`, and symbols with frames `(B, N, 1)`."""
    frames = length_mask(batch.mel_lengths, batch.mel.shape[1]).unsqueeze(-1)
    symbols = length_mask(batch.token_lengths, batch.tokens.shape[1])
    return frames, symbols, (symbols & (batch.durations > 0)).unsqueeze(-1)


def _laplace(predicted: Tensor, true: Tensor, log_scale: Tensor) -> Tensor:
    """Return -log p(true) of each value, for Laplace densities at `predicted` of scale exp(`log_scale`)."""
    return (predicted - true).abs() * torch.exp(-log_scale) + log_scale + math.log(2)


def _hyperbolic_secant(predicted: Tensor, true: Tensor, log_scale: Tensor) -> Tensor:
    """Return -log p(true) = log cosh(r/b) + log(π b) of each value, for the error r and b = exp(`log_scale`).

    log cosh z = |z| + log(1 + exp(-2|z|)) - log 2. Far from zero the slope is that of a Laplace density of scale b.
    """
    size = (predicted - true).abs() * torch.exp(-log_scale)
    return size + nn.functional.softplus(-2 * size) + log_scale + math.log(math.pi / 2)


_DENSITIES: dict[Density, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "laplace": _laplace,
    "hyperbolic-secant": _hyperbolic_secant,
}


def _masked_sum(
    nll: Callable[[Tensor, Tensor, Tensor], Tensor], predicted: Tensor, true: Tensor, log_scale: Tensor, mask: Tensor
) -> Tensor:
    return torch.where(mask, nll(predicted, true, log_scale), 0.0).sum()
