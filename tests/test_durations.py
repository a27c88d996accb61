"""Gaussian upsampling: weights are normal densities around the centres of symbols."""

from __future__ import annotations

import torch

from tts_meta.models.durations import upsample


def test_with_a_small_spread_each_step_reads_its_own_symbol() -> None:
    encoded = torch.eye(4)[None]
    durations = torch.tensor([[4, 0, 4, 4]])
    mask = torch.tensor([[True, True, True, True]])
    context = upsample(encoded, durations, torch.full((1, 4), 0.3), mask, 6, 2)
    expected = torch.eye(4)[[0, 0, 2, 2, 3, 3]]
    torch.testing.assert_close(context[0].round(), expected)
    assert (context[0, :, 1] == 0).all(), "a symbol without frames has the weight zero"


def test_upsampling_weights_are_normal_densities_around_the_centres_of_symbols() -> None:
    durations, spread = torch.tensor([[3, 5, 2]]), torch.tensor([[1.0, 2.0, 0.7]])
    weights = upsample(torch.eye(3)[None], durations, spread, torch.ones(1, 3, dtype=torch.bool), 10, 1)[0]
    normal = torch.distributions.Normal(torch.tensor([1.5, 5.5, 9.0]), spread[0])
    density = normal.log_prob(torch.arange(10)[:, None] + 0.5).exp()
    torch.testing.assert_close(weights, density / density.sum(1, keepdim=True))
