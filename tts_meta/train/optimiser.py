"""AdamW with linear warm-up and cosine decay, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.config import Section, Share


class OptimiserConfig(Section):
    """AdamW with linear warm-up and cosine decay."""

    steps: int = Field(ge=0, le=10**9)
    """Optimiser steps in all."""
    frames_per_batch: int = Field(default=12000, gt=0)
    """Mel frames, padding included, that one batch holds at most; all processes of `torchrun` share it."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak step size."""
    final_rate: float = Field(default=0.02, ge=0)
    """Step size at the last step, as a part of the peak."""
    warmup: int = Field(default=200, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay (Loshchilov and Hutter 2019), not on biases and norms."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decays of the moments of the gradient."""
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over a model's parameters; matrices decay, vectors (biases, norms, scales) do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, config: OptimiserConfig, step: int) -> float:
    """Set the step size of `step` (from 0) and return it."""
    if step < config.warmup:
        scale = (step + 1) / config.warmup
    else:
        progress = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
        scale = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * scale
    return config.learning_rate * scale


def clip_gradients(modules: Iterable[nn.Module], largest: float) -> Tensor:
    """Scale each module's gradient to a norm of at most `largest`, and return the norm of all of them before, `()`.

    Modules that play against each other, as a generator and its discriminator, are clipped one by one: the gradient of
    one does not shrink the step of the other.
    """
    return torch.stack([nn.utils.clip_grad_norm_(module.parameters(), largest) for module in modules]).norm()


class MovingAverage:
    """Exponential moving average of a model's weights, by name; early steps average over what there is."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights, as `model.load_state_dict` takes them."""
        return self.weights
