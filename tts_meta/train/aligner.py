"""The aligner's objective: the symbols that its own last alignment gave to the frames."""

from __future__ import annotations

import torch
from torch import Tensor

from tts_meta.corpus import Batch
from tts_meta.models.aligner import Aligner
from tts_meta.models.layers import length_mask


def aligner_loss(aligner: Aligner, batch: Batch) -> Tensor:
    """Mean cross-entropy per frame, a scalar; `batch.durations` are the alignment that is taught."""
    log_probs = aligner(batch.mel, batch.mel_lengths)
    targets = [tokens.repeat_interleave(frames) for tokens, frames in zip(batch.tokens, batch.durations, strict=True)]
    inside = length_mask(batch.mel_lengths, batch.mel.shape[1])
    return torch.nn.functional.nll_loss(log_probs[inside], torch.cat(targets))


def symbol_log_prior(tokens_and_durations: list[tuple[Tensor, Tensor]], n_symbols: int) -> Tensor:
    """Log of the part of all frames that each symbol has, `(V,)`; unseen symbols count as one frame."""
    counts = torch.ones(n_symbols)
    for tokens, durations in tokens_and_durations:
        counts.index_add_(0, tokens, durations.float())
    return (counts / counts.sum()).log()
