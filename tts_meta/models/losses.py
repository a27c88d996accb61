"""The acoustic model's negative log-likelihood: Laplace densities, summed over frames, bands, symbols and prosody."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_meta.corpus import Batch
from tts_meta.models.acoustic import AcousticModel, AcousticOutput
from tts_meta.models.layers import length_mask


@dataclass(frozen=True)
class AcousticLoss:
    """Sums over a batch, in nats; each a scalar tensor.

    mel: -log p of the true log-mel given the prediction; mel_before: the same for the prediction before the postnet, an
    auxiliary term; duration: -log p of log(1 + frames); prosody: -log p of the prosody of symbols that have frames.
    frames and symbols count what was summed over.
    """

    mel: Tensor
    mel_before: Tensor
    duration: Tensor
    prosody: Tensor
    frames: Tensor
    symbols: Tensor

    @property
    def nll(self) -> Tensor:
        """-log p(mel, durations | text, speaker), the sum that meta-learning and cloning work with.

        Prosody is a function of mel and durations: p(prosody | durations) p(mel | prosody, durations) is what is meant.
        """
        return self.mel + self.duration + self.prosody

    def per_unit(self, n_mels: int) -> Tensor:
        """What pretraining minimises: nats per mel value, before and after the postnet, and per symbol."""
        per_symbol = (self.duration + self.prosody) / self.symbols
        return (self.mel + self.mel_before) / (self.frames * n_mels) + 0.1 * per_symbol


def acoustic_loss(model: AcousticModel, output: AcousticOutput, batch: Batch) -> AcousticLoss:
    """Likelihood of a batch under a teacher-forced pass, padding left out."""
    frames = length_mask(batch.mel_lengths, batch.mel.shape[1])
    symbols = length_mask(batch.token_lengths, batch.tokens.shape[1])
    scale = model.mel_log_scale
    said, true_durations = output.symbols, batch.durations.float().log1p()
    present = (symbols & (batch.durations > 0)).unsqueeze(-1)
    return AcousticLoss(
        mel=_laplace(output.mel, batch.mel, scale, frames.unsqueeze(-1)),
        mel_before=_laplace(output.mel_before, batch.mel, scale, frames.unsqueeze(-1)),
        duration=_laplace(said.log_durations, true_durations, model.duration_log_scale, symbols),
        prosody=_laplace(said.prosody, said.true_prosody, model.prosody_log_scale, present),
        frames=frames.sum(),
        symbols=symbols.sum(),
    )


def mel_l1(output: AcousticOutput, batch: Batch) -> Tensor:
    """Mean absolute difference of log-mels, nats, a scalar."""
    inside = length_mask(batch.mel_lengths, batch.mel.shape[1])
    return (output.mel - batch.mel).abs().mean(-1)[inside].mean()


def _laplace(predicted: Tensor, true: Tensor, log_scale: Tensor, mask: Tensor) -> Tensor:
    nll = (predicted - true).abs() * torch.exp(-log_scale) + log_scale + math.log(2)
    return torch.where(mask, nll, 0.0).sum()
