"""Optimiser of the meta-parameters: creation, learning-rate decay, and replacement of the parameters it updates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tts_meta.meta.learner_settings import LearnerSettings


def build_outer_optimiser(
    settings: LearnerSettings,
    adapted: nn.Parameter,
    shared: nn.Parameter,
    log_variances: nn.Parameter,
    step_sizes: nn.Parameter,
) -> torch.optim.Optimizer:
    """Return Adam or SGD, with a learning rate for each kind of meta-parameter."""
    groups = [
        {"params": [adapted, shared], "lr": settings.outer_lr},
        {"params": [log_variances], "lr": settings.variance_lr},
        {"params": [step_sizes], "lr": settings.step_lr},
    ]
    for group in groups:
        group["initial"] = group["lr"]
    return torch.optim.Adam(groups) if settings.outer_solver == "adam" else torch.optim.SGD(groups)


def scale_learning_rates(optimiser: torch.optim.Optimizer, scale: float) -> None:
    """Set the learning rates to `scale` times their initial values."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial"] * scale


def cosine_decay(progress: float, final_fraction: float) -> float:
    """Return a factor that decreases from 1 to `final_fraction` while `progress` increases from 0 to 1."""
    return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))


def replace_parameters(optimiser: torch.optim.Optimizer, new_of_old: Mapping[Tensor, nn.Parameter]) -> None:
    """Replace the optimiser's parameters, and move its moments to the device and dtype of the new parameters."""
    for group in optimiser.param_groups:
        group["params"] = [new_of_old[parameter] for parameter in group["params"]]
    states = [(new, optimiser.state[old]) for old, new in new_of_old.items() if old in optimiser.state]
    optimiser.state.clear()
    for parameter, state in states:
        optimiser.state[parameter] = {k: v if k == "step" else v.to(parameter) for k, v in state.items()}
