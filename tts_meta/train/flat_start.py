"""First durations without a trained model: Viterbi training of Gaussian phone states from a flat start.

This is the classic first stage of speech recognisers (Rabiner 1989, section IV). The features are cepstra with their
differences. Each phone has two states with one diagonal Gaussian each. The Gaussians are estimated and the frames
aligned in turn. The durations are accurate to a few frames, which suffices to start the neural aligner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.corpus import Example
from tts_meta.models.aligner import best_path, loudness, loudness_cost
from tts_meta.text import SymbolKinds

_CEPSTRA = 13
_STATES = 2
_SCALE = 0.3
"""Weight of the log-densities of cepstra relative to the cost of loudness; neighbouring frames are correlated."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FlatStart:
    """Gaussians of the states of phones, with which sentences are aligned: means and variances `(states, features)`."""

    kinds: SymbolKinds
    means: Array
    variances: Array

    @classmethod
    def estimate(
        cls, examples: Sequence[Example], kinds: SymbolKinds, iterations: int = 8, subset: int = 600
    ) -> FlatStart:
        """Estimate the Gaussians from about `subset` of the examples."""
        quiet = kinds.silent.numpy()
        numbers = range(0, len(examples), max(1, len(examples) // subset))
        few = {number: examples[number] for number in numbers}
        states = {n: _expand(example.tokens.numpy(), quiet) for n, example in few.items()}
        usable = [n for n, example in few.items() if _is_long_enough(len(example.mel), states[n])]
        if not usable:
            return cls.untrained(kinds)
        size = _STATES * len(quiet)
        features = {n: _features(few[n].mel) for n in usable}
        louds = {n: loudness(few[n].mel) for n in usable}
        paths = {n: _even_path(states[n], quiet, len(features[n])) for n in usable}
        means, variances = _estimate(usable, states, features, paths, size)
        for _ in range(iterations):
            paths = {n: _path(states[n], kinds, features[n], louds[n], means, variances) for n in usable}
            means, variances = _estimate(usable, states, features, paths, size)
        return cls(kinds, means, variances)

    @classmethod
    def untrained(cls, kinds: SymbolKinds) -> FlatStart:
        """Return equal Gaussians for all states."""
        shape = (_STATES * len(kinds.silent), 3 * _CEPSTRA)
        return cls(kinds, np.zeros(shape), np.ones(shape))

    def durations(self, example: Example) -> Tensor | None:
        """Durations in frames, int64 `(N,)`; None if a recording is too short for its transcript."""
        mel, states = example.mel, _expand(example.tokens.numpy(), self.kinds.silent.numpy())
        if not _is_long_enough(len(mel), states):
            return None
        path = _path(states, self.kinds, _features(mel), loudness(mel), self.means, self.variances)
        owner = np.cumsum(states % _STATES == 0) - 1
        return torch.from_numpy(np.bincount(owner[path], minlength=len(example.tokens)))


def _is_long_enough(frames: int, states: NDArray[np.int64]) -> bool:
    return frames > len(states) + 2


def _expand(tokens: NDArray[np.int64], quiet: NDArray[np.bool_]) -> NDArray[np.int64]:
    """States of a sentence: one for a pause and `_STATES` for a phone. A state's number is symbol * _STATES + part."""
    parts = [[token * _STATES] if quiet[token] else [token * _STATES + p for p in range(_STATES)] for token in tokens]
    return np.array([state for part in parts for state in part])


def _features(mel: Tensor) -> Array:
    """Cepstra and their first and second differences, mean-normalised over the sentence, `(T, 3 * _CEPSTRA)`."""
    bands = mel.shape[1]
    angles = torch.arange(_CEPSTRA)[:, None] * (torch.arange(bands) + 0.5) * math.pi / bands
    cepstra = mel @ angles.cos().T * math.sqrt(2 / bands)
    cepstra = cepstra - cepstra.mean(0)
    padded = torch.nn.functional.pad(cepstra.T[None], (2, 2), mode="replicate")[0].T
    first = (2 * padded[4:] + padded[3:-1] - padded[1:-3] - 2 * padded[:-4]) / 10
    padded = torch.nn.functional.pad(first.T[None], (2, 2), mode="replicate")[0].T
    second = (2 * padded[4:] + padded[3:-1] - padded[1:-3] - 2 * padded[:-4]) / 10
    return torch.cat([cepstra, first, second], 1).double().numpy()


def _even_path(states: NDArray[np.int64], quiet: NDArray[np.bool_], frames: int) -> NDArray[np.int64]:
    """An even split of the frames over the states; pauses inside the sentence get fewer frames."""
    weights = np.where(quiet[states // _STATES], 0.3, 1.0)
    weights[0] = weights[-1] = 3.0
    edges = np.round(weights.cumsum() / weights.sum() * frames)
    return np.minimum(np.searchsorted(edges, np.arange(frames), side="right"), len(states) - 1)


def _estimate(
    chosen: Sequence[int],
    states: dict[int, NDArray[np.int64]],
    features: dict[int, Array],
    paths: dict[int, NDArray[np.int64]],
    size: int,
) -> tuple[Array, Array]:
    """Mean and variance of each state, `(size, 3 * _CEPSTRA)`; rare states have nearly those of all frames."""
    frames = np.concatenate([features[n] for n in chosen])
    owners = np.concatenate([states[n][paths[n]] for n in chosen])
    overall_mean, overall_variance = frames.mean(0), frames.var(0)
    counts = np.bincount(owners, minlength=size)[:, None]
    first, second = np.zeros((size, frames.shape[1])), np.zeros((size, frames.shape[1]))
    order = np.argsort(owners, kind="stable")
    present, starts = np.unique(owners[order], return_index=True)
    first[present] = np.add.reduceat(frames[order], starts)
    second[present] = np.add.reduceat(frames[order] ** 2, starts)
    weight = 10.0
    means = (first + weight * overall_mean) / (counts + weight)
    spread = (second + weight * (overall_variance + overall_mean**2)) / (counts + weight) - means**2
    return means, np.maximum(spread, 0.05 * overall_variance)


def _path(
    states: NDArray[np.int64],
    kinds: SymbolKinds,
    features: Array,
    above: Tensor,
    means: Array,
    variances: Array,
) -> NDArray[np.int64]:
    tokens = torch.from_numpy(states // _STATES)
    different, places = np.unique(states, return_inverse=True)
    precision = 1 / variances[different]
    distance = features**2 @ precision.T - 2 * features @ (means[different] * precision).T
    constant = (means[different] ** 2 * precision + np.log(variances[different])).sum(1)
    scores = -0.5 * _SCALE * (distance + constant)[:, places]
    cost = loudness_cost(above, tokens, kinds).double().numpy()
    return best_path(scores - cost, kinds.silent[tokens].numpy())
