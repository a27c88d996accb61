"""The optimiser, its learning rate, gradient clipping, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_meta.config import Section, Share

_FRAMES_PER_BATCH = 12000
"""Frames of a batch if the recipe says neither `frames_per_batch` nor `frames_per_device`."""


@dataclass(frozen=True)
class BatchSize:
    """How much data one step has.

    frames: most mel frames, padding included: of the batch of the step or, if `per_device`, of each micro-batch.
    accumulate: number of micro-batches that each process computes one after the other in a step.
    """

    frames: int
    per_device: bool = False
    accumulate: int = 1


class OptimiserConfig(Section):
    """AdamW with linear warm-up and cosine decay, and the size of a batch."""

    steps: int = Field(ge=0, le=10**9)
    """Number of optimiser steps."""
    frames_per_batch: int | None = Field(default=None, gt=0)
    """Most mel frames in the batch of a step, padding included; default 12000. All processes share the batch, so the
    steps do not depend on their number."""
    frames_per_device: int | None = Field(default=None, gt=0)
    """Instead of `frames_per_batch`: most mel frames that a process computes at a time, padding included. The batch of
    a step has `accumulate` times the number of processes times as many."""
    accumulate: int = Field(default=1, gt=0, le=10_000)
    """Micro-batches that a process computes one after the other, and whose gradients are added, in a step. They divide
    the batch of `frames_per_batch`; with `frames_per_device` they are in addition."""
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

    @model_validator(mode="before")
    @classmethod
    def _one_size(cls, data: Any) -> Any:
        """Refuse two sizes of a batch, and fill in the default if there is none."""
        if not isinstance(data, Mapping):
            return data
        per_batch, per_device = data.get("frames_per_batch"), data.get("frames_per_device")
        if per_batch is not None and per_device is not None:
            raise ValueError("give frames_per_batch or frames_per_device, not both; set the other one to null")
        needs_default = per_batch is None and per_device is None
        return {**data, "frames_per_batch": _FRAMES_PER_BATCH} if needs_default else data

    @property
    def batch_size(self) -> BatchSize:
        """The size of a batch, from the two settings of which one is set."""
        if self.frames_per_device is not None:
            return BatchSize(self.frames_per_device, True, self.accumulate)
        return BatchSize(self.frames_per_batch or _FRAMES_PER_BATCH, False, self.accumulate)


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
