"""Losses of the acoustic model: the negative log-likelihood under a density, and the mel L1 distance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tts_meta.corpus import Batch
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.acoustic_output import AcousticOutput
from tts_meta.models.conv_blocks import length_mask
from tts_meta.models.densities import LAPLACE, Density


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
    model: AcousticModel, output: AcousticOutput, batch: Batch, density: Density = LAPLACE
) -> AcousticLoss:
    """Return the negative log-likelihood of a batch, given the output of the teacher-forced pass, without padding."""
    frames, symbols, has_frames = _masks(batch)
    scale = model.mel_log_scale
    predicted, true_durations = output.encoder_output, batch.durations.float().log1p()
    return AcousticLoss(
        mel=_masked_sum(density, output.mel, batch.mel, scale, frames),
        mel_before=_masked_sum(density, output.mel_before, batch.mel, scale, frames),
        duration=_masked_sum(density, predicted.log_durations, true_durations, model.duration_log_scale, symbols),
        prosody=_masked_sum(density, predicted.prosody, predicted.true_prosody, model.prosody_log_scale, has_frames),
        frames=frames.sum(),
        symbols=symbols.sum(),
    )


def outputs_with_curvature(
    model: AcousticModel, output: AcousticOutput, batch: Batch, density: Density
) -> tuple[Tensor, Tensor]:
    """Return the outputs that `AcousticLoss.nll` depends on, and the curvature of the likelihood at them, `(N,)` each.

    The outputs are the log-mel after the postnet, the log-durations and the prosody, padding included. The curvature
    is that of the density for each error, and 0 for padding.
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
        second = inverse_scale.square() * density.curvature((value - true) * inverse_scale)
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


def _masked_sum(density: Density, predicted: Tensor, true: Tensor, log_scale: Tensor, mask: Tensor) -> Tensor:
    """Return the sum over `mask` of -log p(true), for densities at `predicted` of scale exp(`log_scale`)."""
    nll = density.nll((predicted - true) * torch.exp(-log_scale)) + log_scale
    return torch.where(mask, nll, 0.0).sum()
