"""The postfilter restores the variance of each mel-cepstral coefficient and keeps the mean."""

from __future__ import annotations

import pytest
import torch
from helpers import tiny_base
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dct
from torch import Tensor

from tts_meta.models.postfilter import MAX_GAIN, MEAN_FRAMES, VariancePostfilter
from tts_meta.models.synthesis_options import SynthesisOptions

GAINS = torch.linspace(1.0, 1.4, 16)


def sentences(seed: int, gains: Tensor) -> list[Tensor]:
    """Three log-mels `(T, 16)` with different means, whose cepstra have the standard deviations `gains`."""
    generator = torch.Generator().manual_seed(seed)
    basis = VariancePostfilter(16).basis
    drawn = [torch.randn(size, 16, generator=generator) for size in (400, 700, 500)]
    return [-5 + float(n) + (cepstra - cepstra.mean(0)) * gains @ basis.T for n, cepstra in enumerate(drawn)]


def deviations(mel: Tensor) -> Tensor:
    return torch.from_numpy(dct(mel.numpy(), axis=-1, norm="ortho")).std(0)


def measured() -> VariancePostfilter:
    postfilter = VariancePostfilter(16)
    postfilter.measure(sentences(0, GAINS), sentences(0, torch.ones(16)))
    return postfilter


def test_the_factors_are_the_ratios_of_the_standard_deviations() -> None:
    torch.testing.assert_close(measured().gain, GAINS)


def test_every_cepstral_coefficient_gets_the_variance_of_speech_and_keeps_its_mean() -> None:
    smooth, real = sentences(1, torch.ones(16))[1], sentences(1, GAINS)[1]
    filtered = measured()(smooth)
    torch.testing.assert_close(filtered, real)
    torch.testing.assert_close(filtered.mean(0), smooth.mean(0))
    torch.testing.assert_close(deviations(filtered) / deviations(smooth), GAINS, atol=1e-4, rtol=1e-4)


@given(st.floats(0.0, 2.0))
def test_the_strength_is_an_exponent_of_the_factors(postfilter: float) -> None:
    mel = sentences(2, torch.ones(16))[0]
    ratio = deviations(measured()(mel, postfilter)) / deviations(mel)
    torch.testing.assert_close(ratio, GAINS**postfilter, atol=1e-3, rtol=1e-3)


def test_factors_are_bounded() -> None:
    postfilter = VariancePostfilter(16)
    postfilter.measure(sentences(3, torch.full((16,), 9.0)), sentences(3, torch.ones(16)))
    mel = sentences(4, torch.ones(16))[0]
    torch.testing.assert_close(
        deviations(postfilter(mel)) / deviations(mel), torch.full((16,), MAX_GAIN), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("postfilter", [0.0, 1.0, 1.7])
def test_an_unmeasured_postfilter_changes_nothing(postfilter: float) -> None:
    mel = sentences(5, torch.ones(16))[0]
    torch.testing.assert_close(VariancePostfilter(16)(mel, postfilter), mel)


def test_generation_applies_the_postfilter_which_has_no_trained_parameters() -> None:
    base = tiny_base()
    tokens, model = base.symbols.encode("abc de, fg."), base.acoustic
    unfiltered = model.generate(tokens)
    model.postfilter.gain.fill_(1.5)
    torch.testing.assert_close(
        model.generate(tokens, options=SynthesisOptions(postfilter=0)), unfiltered, atol=1e-3, rtol=1e-3
    )
    filtered = model.postfilter(unfiltered)
    torch.testing.assert_close(model.generate(tokens), filtered, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(filtered, unfiltered, atol=0.1)
    assert not list(model.postfilter.parameters())


def test_the_mean_of_a_long_sentence_is_that_of_its_first_frames() -> None:
    postfilter, mel = VariancePostfilter(16), torch.randn(1500, 16, generator=torch.Generator().manual_seed(6))
    postfilter.gain.fill_(1.5)
    mean = mel[:MEAN_FRAMES].mean(0)
    torch.testing.assert_close(postfilter(mel), mean + 1.5 * (mel - mean), atol=1e-4, rtol=0)
