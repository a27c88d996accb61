from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from helpers import same_weights
from torch import nn
from toy_training import OPTIMISER, toy

from tts_meta.train.optimiser import (
    OptimiserConfig,
    build_optimiser,
    clip_gradients,
    set_learning_rate,
    update_average,
    weight_average,
)


def test_the_step_size_rises_in_a_line_and_falls_as_a_cosine() -> None:
    config = OptimiserConfig(steps=110, warmup=10, learning_rate=2.0, final_lr_fraction=0.1)
    optimiser = build_optimiser(toy(), config)
    rates = [set_learning_rate(optimiser, config, step) for step in range(111)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(2.0) and rates[60] == pytest.approx(1.1) and rates[110] == pytest.approx(0.2)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert all(group["lr"] == rates[-1] for group in optimiser.param_groups)


def test_matrices_decay_and_vectors_do_not() -> None:
    groups = build_optimiser(toy(), OPTIMISER).param_groups
    decays = {tuple(parameter.shape): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decays == {(80, 80): OPTIMISER.weight_decay, (80,): 0.0}


def test_the_moving_average_is_the_weighted_mean_of_the_weights_so_far() -> None:
    model, expected = toy(), None
    average = weight_average(model, 0.5)
    expected = model.layer.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            model.layer.weight += step
            model.get_buffer("calls").fill_(step)
        update_average(average, model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.layer.weight.detach()
    torch.testing.assert_close(average.module.state_dict()["layer.weight"], expected)
    assert int(average.module.state_dict()["calls"]) == 19


def test_an_average_without_memory_is_the_model() -> None:
    model = toy()
    average = weight_average(model, 0.0)
    with torch.no_grad():
        model.layer.weight += 1
    update_average(average, model, 100)
    assert same_weights(average.module.state_dict(), model.state_dict())


def test_gradients_are_clipped_each_by_its_own_norm() -> None:
    large, small = nn.Linear(3, 1, bias=False), nn.Linear(4, 1, bias=False)
    large.weight.grad, small.weight.grad = torch.full((1, 3), 100.0), torch.full((1, 4), 0.25)
    norm = clip_gradients([large, small], 1.0)
    assert float(norm) == pytest.approx((3e4 + 0.25) ** 0.5)
    assert float(large.weight.grad.norm()) == pytest.approx(1.0, rel=1e-5)
    assert torch.equal(small.weight.grad, torch.full((1, 4), 0.25)), "below the bound of its own"
    large.weight.grad.fill_(math.inf)
    assert not clip_gradients([large, small], 1.0).isfinite()
