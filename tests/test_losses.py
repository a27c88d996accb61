"""The acoustic losses equal `torch.distributions`, ignore padding, and have finite gradients."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from helpers import batch_of, random_example, randomise, tiny_base
from torch import Tensor
from torch.distributions import Laplace

from tts_meta.corpus import Batch
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.acoustic_output import AcousticOutput, EncoderOutput
from tts_meta.models.losses import acoustic_loss, mel_l1
from tts_meta.models.pretrained import Base

SENTENCES = ["abc de.", "hgf, edcba abc!", "ab"]


@pytest.fixture(scope="module")
def base() -> Base:
    base = tiny_base()
    randomise(base.acoustic, seed=2, size=0.3)
    base.acoustic.double()
    return base


@pytest.fixture(scope="module")
def batch(base: Base) -> Batch:
    return doubled(batch_of(base, *(random_example(base, s, seed=n) for n, s in enumerate(SENTENCES))))


def doubled(batch: Batch) -> Batch:
    return replace(batch, mel=batch.mel.double())


def random_output(batch: Batch, seed: int = 0) -> AcousticOutput:
    generator = torch.Generator().manual_seed(seed)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64)

    prosody = [draw(batch.durations.unsqueeze(-1).expand(-1, -1, 3)) for _ in range(2)]
    encoder_output = EncoderOutput(draw(batch.durations), draw(batch.durations) + 1, *prosody)
    return AcousticOutput(draw(batch.mel) - 5, draw(batch.mel) - 5, encoder_output)


def laplace_nll(model: AcousticModel, output: AcousticOutput, batch: Batch) -> tuple[float, float, float, float]:
    """Sums of mel, mel before the postnet, duration and prosody by torch.distributions, a sentence at a time."""
    mel = before = duration = prosody = 0.0
    for number in range(len(batch)):
        frames, symbols = int(batch.mel_lengths[number]), int(batch.token_lengths[number])
        true = batch.mel[number, :frames].double()
        scale = model.mel_log_scale.double().exp()
        mel -= float(Laplace(output.mel[number, :frames].double(), scale).log_prob(true).sum())
        before -= float(Laplace(output.mel_before[number, :frames].double(), scale).log_prob(true).sum())
        predicted = output.encoder_output.log_durations[number, :symbols].double()
        log_true = (1 + batch.durations[number, :symbols].double()).log()
        duration -= float(Laplace(predicted, model.duration_log_scale.double().exp()).log_prob(log_true).sum())
        has_frames = batch.durations[number, :symbols] > 0
        predicted = output.encoder_output.prosody[number, :symbols][has_frames].double()
        true = output.encoder_output.true_prosody[number, :symbols][has_frames].double()
        prosody -= float(Laplace(predicted, model.prosody_log_scale.double().exp()).log_prob(true).sum())
    return mel, before, duration, prosody


def test_the_losses_are_sums_of_laplace_densities(base: Base, batch: Batch) -> None:
    output = random_output(batch)
    loss = acoustic_loss(base.acoustic, output, batch)
    mel, before, duration, prosody = laplace_nll(base.acoustic, output, batch)
    assert float(loss.mel) == pytest.approx(mel, rel=1e-9)
    assert float(loss.mel_before) == pytest.approx(before, rel=1e-9)
    # True durations become float32 before their logarithm.
    assert float(loss.duration) == pytest.approx(duration, rel=1e-6)
    assert float(loss.prosody) == pytest.approx(prosody, rel=1e-9)
    assert float(loss.nll) == pytest.approx(mel + duration + prosody, rel=1e-7)


def test_frames_and_symbols_are_counted_without_padding(base: Base, batch: Batch) -> None:
    loss = acoustic_loss(base.acoustic, random_output(batch), batch)
    assert int(loss.frames) == int(batch.mel_lengths.sum()) == int(batch.durations.sum())
    assert int(loss.symbols) == int(batch.token_lengths.sum())
    n_mels = base.acoustic.n_mels
    expected = (loss.mel + loss.mel_before) / (loss.frames * n_mels) + 0.1 * (
        loss.duration + loss.prosody
    ) / loss.symbols
    torch.testing.assert_close(loss.per_unit(n_mels), expected)


def test_padding_adds_nothing(base: Base) -> None:
    examples = [random_example(base, s, seed=n) for n, s in enumerate(SENTENCES)]
    batch = doubled(batch_of(base, *examples))
    together = acoustic_loss(base.acoustic, base.acoustic(batch), batch)
    alone = [doubled(batch_of(base, example)) for example in examples]
    parts = [acoustic_loss(base.acoustic, base.acoustic(one), one) for one in alone]
    for field in fields(together):
        total = sum(float(getattr(part, field.name)) for part in parts)
        assert float(getattr(together, field.name)) == pytest.approx(total, rel=1e-6), field.name


def test_predictions_in_the_padding_have_no_gradient_even_where_they_are_infinite(base: Base, batch: Batch) -> None:
    output = random_output(batch)
    outside = (torch.arange(batch.mel.shape[1]) >= batch.mel_lengths[:, None]).unsqueeze(-1)
    assert outside.any()
    mel = torch.where(outside, float("inf"), output.mel).requires_grad_()
    loss = acoustic_loss(base.acoustic, replace(output, mel=mel), batch)
    assert torch.isfinite(loss.nll)
    (gradient,) = torch.autograd.grad(loss.nll, mel)
    assert (gradient[outside.expand_as(gradient)] == 0).all() and torch.isfinite(gradient).all()


def test_the_likelihood_is_highest_at_the_mean_absolute_error_as_scale(base: Base, batch: Batch) -> None:
    output = random_output(batch)
    inside = torch.arange(batch.mel.shape[1]) < batch.mel_lengths[:, None]
    model = tiny_base().acoustic.double()
    best = (output.mel - batch.mel)[inside].abs().mean(0).log()

    def at(shift: float) -> float:
        with torch.no_grad():
            model.mel_log_scale.copy_(best + shift)
        return float(acoustic_loss(model, output, batch).mel)

    assert at(0.0) < at(0.05) and at(0.0) < at(-0.05)


def test_the_l1_distance_ignores_padding(batch: Batch) -> None:
    output = random_output(batch)
    inside = [(output.mel - batch.mel)[n, : int(batch.mel_lengths[n])].abs().flatten() for n in range(len(batch))]
    assert float(mel_l1(output, batch)) == pytest.approx(float(torch.cat(inside).mean()), rel=1e-9)
