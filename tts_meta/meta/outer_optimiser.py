"""The outer optimiser: its settings, its creation for a learner, and replacement of the parameters it updates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.config import Section
from tts_meta.meta.learner import MetaLearner


class TrainerSettings(Section):
    """Settings of the outer loop, which all learners share."""

    outer_solver: Literal["adam", "sgd"] = "adam"
    """Optimiser of the meta-parameters."""
    outer_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of Adam's mean of squared gradients. With a small value, Adam forgets large gradients of early steps."""
    outer_lr: float = Field(default=1e-3, ge=0)
    """Learning rate of meta-parameters without a learning rate of their own; 0 keeps them constant."""
    outer_lr_final_fraction: float = Field(default=1.0, ge=0, le=1)
    """Fraction of the outer learning rates at the last meta-step; cosine decay."""
    clip: float = Field(default=0.0, ge=0)
    """Maximum norm of the gradient of the meta-parameters that the learner allows to clip; 0 does not clip."""


def build_outer_optimiser(learner: MetaLearner, settings: TrainerSettings) -> torch.optim.Optimizer:
    """Return Adam or SGD, with the learner's groups of parameters and their learning rates."""
    groups = []
    for group in learner.parameter_groups():
        rate = settings.outer_lr if group.learning_rate is None else group.learning_rate
        if group.names:
            parameters = [learner.get_parameter(name) for name in group.names]
            groups.append({"params": parameters, "lr": rate, "initial": rate})
    if settings.outer_solver == "sgd":
        return torch.optim.SGD(groups)
    return torch.optim.Adam(groups, betas=(0.9, settings.outer_beta2))


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
