"""The aligner's loss: cross-entropy to the symbols of a given alignment, and the prior of symbols."""

from __future__ import annotations

import torch
from torch import Tensor

from tts_meta.corpus import Batch
from tts_meta.models.aligner import Aligner

_NO_SYMBOL = -1


def aligner_loss(aligner: Aligner, batch: Batch) -> Tensor:
    """Mean cross-entropy over all frames, a scalar; `batch.durations` are the target alignment.

    For one process's part of a batch it is that part's share of the mean, so that the sum over processes is the mean.
    """
    log_probs = aligner(batch.mel, batch.mel_lengths)
    frames = torch.arange(batch.mel.shape[1], device=batch.mel.device).repeat(len(batch), 1)
    # The symbol of a frame is the first that ends after it. Frames after the end of a sentence have no symbol.
    places = torch.searchsorted(batch.durations.cumsum(1), frames, right=True).clamp(max=batch.tokens.shape[1] - 1)
    targets = torch.where(frames < batch.mel_lengths[:, None], batch.tokens.gather(1, places), _NO_SYMBOL)
    nll = torch.nn.functional.nll_loss(log_probs.transpose(1, 2), targets, ignore_index=_NO_SYMBOL, reduction="sum")
    return nll / batch.all_frames


def symbol_log_prior(tokens_and_durations: list[tuple[Tensor, Tensor]], n_symbols: int) -> Tensor:
    """Log of the fraction of all frames that each symbol has, `(V,)`; unseen symbols count as one frame."""
    counts = torch.ones(n_symbols)
    for tokens, durations in tokens_and_durations:
        counts.index_add_(0, tokens, durations.float())
    return (counts / counts.sum()).log()
