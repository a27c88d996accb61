"""Durations of symbols: rounding of log-durations to frames, and Gaussian upsampling of symbols to decoder steps."""

from __future__ import annotations

import torch
from torch import Tensor


def round_durations(log_durations: Tensor, mask: Tensor, speed: float = 1.0) -> Tensor:
    """Return durations in frames, int64 `(B, N)`, for log(1 + frames) `(B, N)`; at least one frame per sentence.

    mask: bool `(B, N)`, false in the padding. speed: 2 halves the durations. Cumulative sums are rounded instead of
    single durations, so that rounding errors do not add up over a sentence.
    """
    exact = (log_durations.expm1().clamp(min=0.0) / speed) * mask
    ends = exact.cumsum(1).round()
    durations = torch.diff(ends, dim=1, prepend=ends.new_zeros(len(ends), 1))
    durations[:, 0] += ends[:, -1] < 1
    return durations.long()


def upsample(encoded: Tensor, durations: Tensor, spread: Tensor, mask: Tensor, steps: int, reduction: int) -> Tensor:
    """Upsample hidden states `(B, N, D)` to decoder steps `(B, steps, D)` (Shen et al. 2020, section 3.2).

    Symbol n covers `durations (B, N)` frames. The weight of a symbol at a step is a normal density, normalised over the
    symbols. The mean of the density is the centre of the symbol's frames; the standard deviation is `spread (B, N)`
    frames. Symbols without frames and padding (`mask (B, N)` false) have the weight zero. reduction: frames per step.
    """
    ends = durations.cumsum(1).float()
    centres = ends - 0.5 * durations
    step_centres = (torch.arange(steps, device=encoded.device) + 0.5) * reduction
    distance = (step_centres[None, :, None] - centres[:, None, :]) / spread[:, None, :]  # (B, steps, N)
    logits = -0.5 * distance.square() - spread[:, None, :].log()
    has_frames = (mask & (durations > 0)).unsqueeze(1)
    weights = torch.where(has_frames, logits, -1e9).softmax(-1)
    return weights.to(encoded.dtype) @ encoded
