"""Tests of the losses and the pitch labels of vocoder training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from faults import error_line
from helpers import RATE, tiny_source_filter

from tts_meta.audio.mel import MelConfig
from tts_meta.audio.pitch import fundamental_frequency_praat
from tts_meta.models.vocoders.spectral_loss import spectra, spectral_distance, spectral_energy_distance
from tts_meta.train.discriminator import Discriminator, DiscriminatorConfig, adversarial_loss, discriminator_loss
from tts_meta.train.vocoder_data import VocoderBatch
from tts_meta.train.vocoder_losses import adversarial_objective, spectral_objective

FRAMES = 24


def test_praat_finds_the_pitch_at_the_middle_of_frames() -> None:
    config = MelConfig()
    time = np.arange(RATE) / RATE
    f0 = 120 + 60 * time
    samples = sum(np.sin(2 * np.pi * k * np.cumsum(f0) / RATE) / k for k in range(1, 20))
    samples = np.concatenate([np.asarray(samples, np.float32), np.zeros(RATE // 2, np.float32)])
    found = fundamental_frequency_praat(samples, config)
    middles = (np.arange(len(found)) + 0.5) * config.hop / RATE
    voiced = found > 0
    assert voiced[5:80].all() and not voiced[95:].any()
    assert np.abs(found[5:80] - (120 + 60 * middles[5:80])).max() < 0.5


def test_the_energy_distance_is_least_at_the_level_of_the_noise() -> None:
    """A plain distance would be least at noise that is too soft."""
    draw = torch.Generator().manual_seed(0)
    real, one, other = (torch.randn(8, 16000, generator=draw) for _ in range(3))
    levels = [0.6, 0.8, 1.0, 1.25, 1.6]
    found = [float(spectral_energy_distance(spectra(real), spectra(a * one), spectra(a * other))) for a in levels]
    assert min(found) == found[2] and float(spectral_distance(spectra(real), spectra(real))) == 0
    plain = [float(spectral_distance(spectra(real), spectra(a * one))) for a in levels]
    assert min(plain) != plain[2]


def test_neither_player_moves_the_other() -> None:
    generator, discriminator = tiny_source_filter(), Discriminator(DiscriminatorConfig(windows=[256], channels=4))
    draw = torch.Generator().manual_seed(0)
    mel = -5 + torch.randn(2, FRAMES, 80, generator=draw)
    samples = 0.1 * torch.randn(2, FRAMES * 256, generator=draw)
    sizes = [torch.tensor(2 * FRAMES)] * 2
    crops = VocoderBatch(mel, torch.full((2, FRAMES), 4.8), torch.ones(2, FRAMES), samples, *sizes)

    def gradients(weight: float) -> dict[str, torch.Tensor]:
        for part in (generator, discriminator):
            part.zero_grad()
        torch.manual_seed(0)
        adversarial_objective(generator, discriminator, weight)(crops, 0)[0].backward()
        return {
            name: p.grad.clone()
            for part in (generator.net, discriminator)
            for name, p in part.named_parameters()
            if p.grad is not None
        }

    without, with_weight = gradients(0.0), gradients(1.0)
    for name, grad in gradients(0.0).items():
        of_discriminator = name.startswith("nets.")
        assert torch.equal(with_weight[name], without[name]) == of_discriminator, name
        assert torch.equal(grad, without[name])
    torch.manual_seed(0)
    generator.zero_grad()
    spectral_objective(generator)(crops, 0)[0].backward()
    for name, parameter in generator.net.named_parameters():
        torch.testing.assert_close(parameter.grad, without[name])


def test_the_losses_of_the_players() -> None:
    real, made = torch.tensor([[[2.0, 0.5]]]), torch.tensor([[[-3.0, 0.0]]])
    assert float(discriminator_loss([torch.cat([real, made])])) == pytest.approx(0.25 + 0.5)
    assert float(adversarial_loss([made])) == pytest.approx(1.5)


def test_f0_for_training_needs_praat(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "parselmouth", None)
    text = error_line(lambda: fundamental_frequency_praat(np.zeros(RATE, np.float32), MelConfig()))
    assert "pip install '.[vocoder]'" in text
