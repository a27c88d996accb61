"""The aligner's objective: the symbols that its own last alignment gave to the frames."""

from __future__ import annotations

import torch
from torch import Tensor

from tts_meta.corpus import Batch
from tts_meta.models.aligner import Aligner

_NONE = -1


def aligner_loss(aligner: Aligner, batch: Batch) -> Tensor:
    """Cross-entropy over all frames, a scalar; `batch.durations` are the alignment that is taught.

    Of one process's part of a batch it is that part's share of the mean: the shares add up to it.
    """
    log_probs = aligner(batch.mel, batch.mel_lengths)
    frames = torch.arange(batch.mel.shape[1], device=batch.mel.device).repeat(len(batch), 1)
    # The symbol of a frame is the first that ends after it; past the end of a sentence there is none.
    places = torch.searchsorted(batch.durations.cumsum(1), frames, right=True).clamp(max=batch.tokens.shape[1] - 1)
    targets = torch.where(frames < batch.mel_lengths[:, None], batch.tokens.gather(1, places), _NONE)
    nll = torch.nn.functional.nll_loss(log_probs.transpose(1, 2), targets, ignore_index=_NONE, reduction="sum")
    return nll / batch.all_frames


def symbol_log_prior(tokens_and_durations: list[tuple[Tensor, Tensor]], n_symbols: int) -> Tensor:
    """Log of the part of all frames that each symbol has, `(V,)`; unseen symbols count as one frame."""
    counts = torch.ones(n_symbols)
    for tokens, durations in tokens_and_durations:
        counts.index_add_(0, tokens, durations.float())
    return (counts / counts.sum()).log()
