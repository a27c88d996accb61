"""Aligner: which frames belong to which symbol, for any speaker.

A frame classifier over the symbol table; the best monotonic path through p(symbol | frame) / p(symbol) is the
alignment, as in hybrid speech recognition (Bourlard and Morgan 1994). Pauses may be skipped, phones may not; a pause in
a loud frame costs, and so does a vowel in a quiet one. Trained on its own alignments, starting from those of
`train/flat_start.py`: sums over all paths, which need no start, let a few phones swallow the others here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tts_meta.config import Kernel, Layers, Section, Width
from tts_meta.errors import TtsMetaError
from tts_meta.text import SymbolKinds

_NEVER = -1e30
# A frame this far (nats of amplitude; 18 dB) below the loud parts of its sentence may be a pause at no cost; each
# nat above it costs as many nats as here. Vowels cost as much for each nat below.
_PAUSE_LEVEL, _PAUSE_COST = -2.07, 3.0


class AlignerConfig(Section):
    """Frame classifier that aligns symbols to frames (`models/aligner.py`)."""

    channels: Width = 192
    """Width of the convolutions and of the recurrent layer."""
    layers: Layers = 3
    """Convolutions before the recurrent layer."""
    kernel: Kernel = 5
    """Frames each convolution sees."""


@dataclass(frozen=True)
class Alignment:
    """Durations in frames, int64 `(N,)`, and the mean log-probability per speech frame along the path."""

    durations: Tensor
    score: float


class Aligner(nn.Module):
    """Log-mel `(B, T, M)` to log-probabilities of symbols `(B, T, V)`; two frames share one recurrent step."""

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
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
        self.output = nn.Linear(width, 2 * n_symbols)
        self.register_buffer("log_prior", torch.full((n_symbols,), -math.log(n_symbols)))
        # Scores of the training sentences, a low quantile and the median; what `matches` judges by.
        self.register_buffer("score_range", torch.tensor([-1e4, 0.0]))

    def forward(self, mel: Tensor, mel_lengths: Tensor) -> Tensor:
        batch, frames, bands = mel.shape
        mask = (torch.arange(frames, device=mel.device) < mel_lengths[:, None]).unsqueeze(-1)
        mean = (mel * mask).sum(1, keepdim=True) / mel_lengths[:, None, None]
        hidden = torch.where(mask, mel - mean, 0.0) / 2
        if frames % 2:
            hidden = nn.functional.pad(hidden, (0, 0, 0, 1))
        hidden = hidden.reshape(batch, -1, 2 * bands)  # (B, T/2, 2M)
        for conv, norm in zip([self.input, *self.convs], self.norms, strict=True):
            hidden = norm(conv(hidden.transpose(1, 2)).transpose(1, 2)).relu()
        hidden, _ = self.lstm(hidden)
        logits = self.output(hidden).float().reshape(batch, -1, self.log_prior.shape[0])[:, :frames]
        return logits.log_softmax(-1)

    @torch.no_grad()
    def align(self, mel: Tensor, tokens: Tensor, kinds: SymbolKinds, name: str = "recording") -> Alignment:
        """Best monotonic path of `tokens (N,)` through `mel (T, M)`; symbols that are `kinds.silent` may be skipped.

        Raises TtsMetaError where the recording has fewer frames than the sentence has phones.
        """
        skippable = kinds.silent[tokens]
        if len(mel) < int((~skippable).sum()):
            raise TtsMetaError(f"{name}: too short for its transcript; check that the text is what is said")
        log_probs = self(mel[None], torch.tensor([len(mel)], device=mel.device))[0]
        scores = (log_probs - self.log_prior)[:, tokens]
        # Which mark a pause stands at is not heard in it: all of them share one probability and one prior.
        pause = log_probs[:, kinds.silent].logsumexp(1) - self.log_prior[kinds.silent].logsumexp(0)
        scores = torch.where(skippable, pause[:, None], scores) - loudness_cost(loudness(mel), tokens, kinds)
        path = best_path(scores.double().cpu().numpy(), skippable.cpu().numpy())
        durations = torch.from_numpy(np.bincount(path, minlength=len(tokens)))
        places = torch.from_numpy(path)
        spoken = ~skippable.cpu()[places]
        along = log_probs.cpu()[torch.arange(len(path)), tokens.cpu()[places]]
        return Alignment(durations, float(along[spoken].mean()))

    def matches(self, score: float, tolerance: float = 2.5) -> bool:
        """Whether an alignment's score is one that a sentence truly said may have.

        `tolerance`: how far below the median it may lie, in distances of the low quantile from it. New speakers score
        lower than those trained on; 2.5 parts their true transcripts from wrong ones.
        """
        low, median = self.score_range.tolist()
        return score >= median - tolerance * (median - low)


def loudness(mel: Tensor) -> Tensor:
    """How far each frame of `(T, M)` lies above the level up to which it may be a pause at no cost, nats `(T,)`."""
    level = mel.logsumexp(-1)
    return level - level.quantile(0.9) - _PAUSE_LEVEL


def loudness_cost(above: Tensor, tokens: Tensor, kinds: SymbolKinds) -> Tensor:
    """What it costs, in nats `(T, N)`, to give frames of `loudness` `(T,)` to `tokens (N,)`.

    Nothing for a pause where it is quiet, for a vowel where it is loud, and for other phones.
    """
    loud, quiet = above.clamp(min=0.0)[:, None], -above.clamp(max=0.0)[:, None]
    return _PAUSE_COST * (loud * kinds.silent[tokens] + quiet * kinds.vowel[tokens])


def best_path(scores: NDArray[np.float64], skippable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Viterbi path through `scores (T, N)`: the place of each frame, int64 `(T,)`.

    A path starts at the first place, moves by none, one, or (over a place that is `skippable (N,)`) two a frame, and
    ends at the last; skippable places at either end may be left out.
    """
    frames, places = scores.shape
    over = np.full(places, _NEVER)
    over[2:][skippable[1:-1]] = 0.0
    state = np.full(places, _NEVER)
    spoken = np.flatnonzero(~skippable)
    state[: spoken[0] + 1] = scores[0, : spoken[0] + 1]
    moves = np.zeros((frames, places), dtype=np.int8)
    candidates = np.full((3, places), _NEVER)
    for frame in range(1, frames):
        candidates[0] = state
        candidates[1, 1:] = state[:-1]
        candidates[2, 2:] = state[:-2] + over[2:]
        moves[frame] = candidates.argmax(0)
        state = candidates.max(0) + scores[frame]
    place = int(spoken[-1] + state[spoken[-1] :].argmax())
    path = np.empty(frames, dtype=np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = place
        place -= int(moves[frame, place])
    return path
