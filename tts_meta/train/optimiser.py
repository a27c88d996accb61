"""The optimiser, its learning rate, gradient clipping, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_meta.config import Section, Share


class OptimiserConfig(Section):
    """AdamW with linear warm-up and cosine decay."""

    steps: int = Field(ge=0, le=10**9)
    """Number of optimiser steps."""
    frames_per_batch: int = Field(default=12000, gt=0)
    """Most mel frames in a batch, padding included. Under `torchrun` the processes share one batch."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""
    final_lr_fraction: float = Field(default=0.02, ge=0)
    """Learning rate at the last step, as a fraction of the peak."""
    warmup: int = Field(default=200, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay (Loshchilov and Hutter 2019); biases and norms do not decay."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay rates of the moments of the gradient."""
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over a model's parameters; matrices decay, vectors (biases, norms, scales) do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, config: OptimiserConfig, step: int) -> float:
    """Set the learning rate of `step` (from 0) and return it."""
    if step < config.warmup:
        scale = (step + 1) / config.warmup
    else:
        progress = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
        scale = config.final_lr_fraction + (1 - config.final_lr_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * scale
    return config.learning_rate * scale


def clip_gradients(modules: Iterable[nn.Module], largest: float) -> Tensor:
    """Scale the gradient of each module to a norm of at most `largest`; return the norm of all before clipping, `()`.

    A generator and its discriminator are clipped separately, so that the gradient of one does not shrink the step of
    the other.
    """
    return torch.stack([nn.utils.clip_grad_norm_(module.parameters(), largest) for module in modules]).norm()


def weight_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a model's weights and buffers, which starts at the current ones.

    The decay of update n (from 1) is min(decay, n / (n + 9)), so that early updates average over few steps. Call
    `update_average` after every step.
    """

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        """Update tensors of one type; counts, which are integers, are copied."""
        count = int(updates)
        weight = 1 - min(decay, count / (count + 9))
        for mean, value in zip(averaged, current, strict=True):
            mean.lerp_(value, weight) if mean.is_floating_point() else mean.copy_(value)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def update_average(average: AveragedModel, model: nn.Module, step: int) -> None:
    """Add the weights after `step` (from 0).

    The count of updates is set from the step, so that neither a skipped step nor a resumed run changes the decay.
    """
    average.n_averaged.fill_(step + 1)
    average.update_parameters(model)
