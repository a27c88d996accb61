"""AdamW with linear warm-up and cosine decay, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tts_meta.config import OptimiserConfig


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
