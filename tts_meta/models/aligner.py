"""`Aligner`: finds which frames belong to which symbol, for any speaker.

The aligner is a frame classifier over the symbol table. The alignment is the best monotonic path through
p(symbol | frame) / p(symbol), as in hybrid speech recognition (Bourlard and Morgan 1994). The path can skip pauses, but
not phones. A pause in a loud frame has a cost, and a vowel in a quiet frame has a cost. The aligner is trained on its
own alignments; the first ones are those of `train/flat_start.py`. Training with a sum over all paths needs no initial
alignment, but it fails here: a few phones get the frames of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tts_meta.config import Kernel, Layers, Section, Width
from tts_meta.errors import TtsMetaError
from tts_meta.models.conv_blocks import length_mask, masked_conv
from tts_meta.models.masked_lstm import MaskedLSTM
from tts_meta.text import SymbolKinds

VERSION = 1
"""Version of `Aligner.align`. Raise it when its result for the same weights changes: cached alignments have it."""
BLOCK_FRAMES = 2048
"""Number of frames whose scores are in memory at a time."""
_IMPOSSIBLE = -1e30
# `_PAUSE_LEVEL`: highest level of a frame that can be a pause at no cost, relative to the loud parts of the sentence
# (nats of amplitude; -18 dB). `_PAUSE_COST`: cost in nats of a pause for each nat above that level, and of a vowel for
# each nat below that level.
_PAUSE_LEVEL, _PAUSE_COST = -2.07, 3.0


class AlignerConfig(Section):
    """Settings of the frame classifier that aligns symbols to frames (`models/aligner.py`)."""

    channels: Width = 192
    """Width of the convolutions and of the recurrent layer."""
    layers: Layers = 3
    """Number of convolutions before the recurrent layer."""
    kernel: Kernel = 5
    """Kernel size of the convolutions, in steps of two frames."""


@dataclass(frozen=True)
class Alignment:
    """Durations in frames, int64 `(N,)`, and `score`: the mean log-probability of the path over its speech frames.

    log_probabilities: mean of each symbol over its frames, `(N,)`, 0 for a symbol without a frame; None if it is not
    known, as for a stored alignment.
    """

    durations: Tensor
    score: float
    log_probabilities: Tensor | None = None


class Aligner(nn.Module):
    """Predicts log-probabilities of symbols `(B, T, V)` from log-mels `(B, T, M)`; each LSTM step reads two frames."""

    log_prior: Tensor
    score_range: Tensor

    def __init__(self, config: AlignerConfig, n_mels: int, n_symbols: int) -> None:
        super().__init__()
        width, pad = config.channels, config.kernel // 2
        self.input = nn.Conv1d(2 * n_mels, width, config.kernel, padding=pad)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, config.kernel, padding=pad) for _ in range(config.layers - 1)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.layers))
        self.lstm = MaskedLSTM(width, width // 2)
        self.output = nn.Linear(width, 2 * n_symbols)
        self.register_buffer("log_prior", torch.full((n_symbols,), -math.log(n_symbols)))
        # A low quantile and the median of the scores of training sentences, for `matches`.
        self.register_buffer("score_range", torch.tensor([-1e4, 0.0]))

    def forward(self, mel: Tensor, mel_lengths: Tensor) -> Tensor:
        """Return log-probabilities `(B, T, V)` of symbols, which do not depend on the padding.

        mel: log-mels `(B, T, M)`. mel_lengths: `(B,)`, numbers of frames without padding.
        """
        batch, frames, bands = mel.shape
        mask = (torch.arange(frames, device=mel.device) < mel_lengths[:, None]).unsqueeze(-1)
        mean = (mel * mask).sum(1, keepdim=True) / mel_lengths[:, None, None]
        hidden = torch.where(mask, mel - mean, 0.0) / 2
        if frames % 2:
            hidden = nn.functional.pad(hidden, (0, 0, 0, 1))
        hidden = hidden.reshape(batch, -1, 2 * bands)  # (B, T/2, 2M)
        steps = length_mask((mel_lengths + 1) // 2, hidden.shape[1])
        convs = cast("list[nn.Conv1d]", [self.input, *self.convs])
        for conv, norm in zip(convs, self.norms, strict=True):
            hidden = norm(masked_conv(conv, hidden, steps)).relu()
        hidden = self.lstm(hidden, steps)
        logits = self.output(hidden).to(self.log_prior.dtype)  # not bfloat16 under autocast
        logits = logits.reshape(batch, -1, self.log_prior.shape[0])[:, :frames]
        return logits.log_softmax(-1)

    @torch.no_grad()
    def align(self, mel: Tensor, tokens: Tensor, kinds: SymbolKinds, name: str = "recording") -> Alignment:
        """Align `tokens (N,)` with `mel (T, M)` by the best monotonic path, which can skip symbols in `kinds.silent`.

        The network runs on the device of its weights. The search runs on the CPU, where the arguments and the result
        are. Raises TtsMetaError that contains `name` if the recording has fewer frames than the sentence has phones.
        """
        skippable = kinds.silent[tokens]
        if len(mel) < int((~skippable).sum()):
            raise TtsMetaError(f"{name}: too short for its transcript; check that the transcript is correct")
        device = self.log_prior.device
        log_probs = self(mel[None].to(device), torch.tensor([len(mel)], device=device))[0].cpu()
        blocks = zip(log_probs.split(BLOCK_FRAMES), loudness(mel).split(BLOCK_FRAMES), strict=True)
        rows = (row for block, above in blocks for row in self._scores(block, above, tokens, kinds))
        path = best_path(rows, skippable.numpy())
        durations = torch.from_numpy(np.bincount(path, minlength=len(tokens)))
        positions = torch.from_numpy(path)
        is_speech = ~skippable[positions]
        path_log_probs = log_probs[torch.arange(len(path)), tokens[positions]]
        sums = torch.zeros(len(tokens)).index_add_(0, positions, path_log_probs)
        return Alignment(durations, float(path_log_probs[is_speech].mean()), sums / durations.clamp(min=1))

    def _scores(self, log_probs: Tensor, above: Tensor, tokens: Tensor, kinds: SymbolKinds) -> NDArray[np.float64]:
        """Return the scores `(T, N)` of some frames, from `log_probs (T, V)` and their levels `above (T,)`."""
        log_prior = self.log_prior.cpu()
        scores = (log_probs - log_prior)[:, tokens]
        # A pause sounds the same at every punctuation mark, so all pause symbols share one probability and one prior.
        pause = log_probs[:, kinds.silent].logsumexp(1) - log_prior[kinds.silent].logsumexp(0)
        scores = torch.where(kinds.silent[tokens], pause[:, None], scores) - loudness_cost(above, tokens, kinds)
        return scores.double().numpy()

    def matches(self, score: float, tolerance: float = 2.5) -> bool:
        """Return whether the score of an alignment is high enough for a correct transcript.

        tolerance: largest distance below the median of the training scores, in units of the distance between that
        median and the low quantile. New speakers score lower than training speakers. For new speakers, 2.5 separates
        correct transcripts from wrong ones.
        """
        low, median = self.score_range.tolist()
        return score >= median - tolerance * (median - low)


def loudness(mel: Tensor) -> Tensor:
    """Return the level of each frame of a log-mel `(T, M)` above the pause level of the sentence, in nats `(T,)`."""
    level = mel.logsumexp(-1)
    return level - level.quantile(0.9) - _PAUSE_LEVEL


def loudness_cost(above: Tensor, tokens: Tensor, kinds: SymbolKinds) -> Tensor:
    """Return the cost in nats `(T, N)` of the assignment of each frame to each of `tokens (N,)`.

    above: levels `(T,)` of the frames from `loudness`. A pause has no cost in a quiet frame, a vowel has no cost in a
    loud frame, and other phones have no cost.
    """
    loud, quiet = above.clamp(min=0.0)[:, None], -above.clamp(max=0.0)[:, None]
    return _PAUSE_COST * (loud * kinds.silent[tokens] + quiet * kinds.vowel[tokens])


def best_path(scores: Iterable[NDArray[np.float64]], skippable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the Viterbi path through `scores (T, N)`: the position in the sentence of each frame, int64 `(T,)`.

    The scores may also be given as their rows, so that those of a long recording need not be in memory.

    A path starts at the first position and ends at the last. From one frame to the next, the position grows by 0 or 1,
    or by 2 if the position between is `skippable (N,)`. Skippable positions at the start and at the end can be left
    out.
    """
    rows, positions = iter(scores), len(skippable)
    skip_score = np.full(positions, _IMPOSSIBLE)
    skip_score[2:][skippable[1:-1]] = 0.0
    state = np.full(positions, _IMPOSSIBLE)
    spoken = np.flatnonzero(~skippable)
    state[: spoken[0] + 1] = next(rows)[: spoken[0] + 1]
    moves = [np.zeros(positions, dtype=np.int8)]
    candidates = np.full((3, positions), _IMPOSSIBLE)
    for row in rows:
        candidates[0] = state
        candidates[1, 1:] = state[:-1]
        candidates[2, 2:] = state[:-2] + skip_score[2:]
        moves.append(candidates.argmax(0).astype(np.int8))
        state = candidates.max(0) + row
    position = int(spoken[-1] + state[spoken[-1] :].argmax())
    path = np.empty(len(moves), dtype=np.int64)
    for frame in range(len(moves) - 1, -1, -1):
        path[frame] = position
        position -= int(moves[frame][position])
    return path
