"""The light vocoder: sources and transforms equal closed forms, chunks and streams equal the whole mel; its folder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from faults import error_line
from helpers import tiny_source_filter
from torch import Tensor

from tts_meta.audio import MelSpec
from tts_meta.audio.mel import MelConfig
from tts_meta.errors import TtsMetaError
from tts_meta.models.partition import Partition
from tts_meta.models.vocoders.pitch_predictor import Pitch
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.models.vocoders.vocoder import load_vocoder

MEL = MelConfig()


def random_mel(frames: int, seed: int = 0) -> Tensor:
    return -5 + 2 * torch.randn(1, frames, MEL.n_mels, generator=torch.Generator().manual_seed(seed))


def steady(f0: float, frames: int, voiced: float = 1.0) -> Pitch:
    return Pitch(torch.full((1, frames), math.log(f0)), torch.full((1, frames), voiced))


@pytest.mark.parametrize("f0", [61.0, 110.0, 333.3])
def test_pulses_are_the_sum_of_all_harmonics_below_half_the_rate(f0: float) -> None:
    excitation, ends = tiny_source_filter().excitation(steady(f0, 12), torch.tensor([0.3]))
    cycles = 0.3 + torch.arange(1, 12 * MEL.hop + 1, dtype=torch.double) * math.exp(math.log(f0)) / MEL.sample_rate
    torch.testing.assert_close(ends[0], cycles, atol=1e-4, rtol=0)
    count = math.floor(0.5 * MEL.sample_rate / f0) - 1
    expected = sum(2 * torch.cos(2 * math.pi * k * ends[0]) for k in range(1, count + 1)) / math.sqrt(2 * count)
    torch.testing.assert_close(excitation.pulses[0].double(), expected, atol=2e-3, rtol=1e-3)
    assert abs(float(excitation.pulses.square().mean()) - 1) < 0.2
    torch.testing.assert_close(excitation.cosine[0].double(), torch.cos(2 * math.pi * ends[0]), atol=1e-4, rtol=0)


def test_unvoiced_frames_have_no_pulses() -> None:
    excitation, _ = tiny_source_filter().excitation(steady(100, 5, voiced=0.0), torch.zeros(1))
    assert not excitation.pulses.any() and not excitation.cosine.any() and not excitation.sine.any()


def test_the_inverse_stft_restores_the_signal() -> None:
    generator = tiny_source_filter()
    samples = torch.randn(2, 20 * MEL.hop, generator=torch.Generator().manual_seed(0))
    restored = generator.istft(generator.stft(samples))
    assert restored.shape == samples.shape
    edge = generator.config.window
    torch.testing.assert_close(restored[:, edge:-edge], samples[:, edge:-edge], atol=1e-5, rtol=0)


def test_stft_and_inverse_stft_keep_the_power_of_noise() -> None:
    generator = tiny_source_filter()
    spectrum = generator.stft(torch.randn(1, 40 * MEL.hop, generator=torch.Generator().manual_seed(1)))
    assert abs(float(generator.istft(spectrum).square().mean()) - 1) < 0.05


def test_samples_depend_only_on_frames_within_the_receptive_radius() -> None:
    generator = tiny_source_filter()
    mel, phase, noise = random_mel(160), torch.zeros(1), torch.randn(1, 160 * MEL.hop)
    changed = mel.clone()
    changed[:, 100:] += 1
    with torch.no_grad():
        one, other = (generator(m, generator.pitch(m), phase, noise[None])[0] for m in (mel, changed))
    first = int((one != other)[0].nonzero()[0]) / MEL.hop
    assert 100 - generator.receptive_radius <= first < 100


@pytest.mark.parametrize("chunk_frames", [1, 7, 64])
def test_chunks_give_the_samples_of_the_whole_mel(chunk_frames: int) -> None:
    generator, mel = tiny_source_filter(), torch.cat([random_mel(150), random_mel(150, seed=2)])
    whole, chunks = SourceFilterVocoder(generator)(mel), SourceFilterVocoder(generator, chunk_frames=chunk_frames)(mel)
    assert whole.shape == (2, 150 * MEL.hop) and float(whole.std()) > 1e-3
    torch.testing.assert_close(chunks, whole, atol=1e-4, rtol=0)


def test_the_parts_of_a_stream_concatenate_to_the_samples_of_the_whole_mel() -> None:
    light, mel = SourceFilterVocoder(tiny_source_filter()), random_mel(200)
    parts = [*light.stream(iter(mel[0].split([3, 90, 1, 50, 56])))]
    assert len(parts) > 3
    assert len(parts[0]) == (93 - light.generator.receptive_radius) * MEL.hop
    torch.testing.assert_close(torch.cat(parts), light(mel)[0], atol=1e-4, rtol=0)


def test_a_stream_shorter_than_the_receptive_radius_is_one_part_at_its_end() -> None:
    light, mel = SourceFilterVocoder(tiny_source_filter()), random_mel(4)
    (only,) = light.stream([mel[0, :2], mel[0, 2:]])
    torch.testing.assert_close(only, light(mel)[0], atol=1e-4, rtol=0)
    assert not list(light.stream([])) and light(mel[:, :0]).shape == (1, 0)


def test_the_shipped_vocoder_reproduces_the_mel_and_the_pitch_of_a_tone() -> None:
    time = torch.arange(2 * MEL.sample_rate) / MEL.sample_rate
    f0 = 140 + 40 * torch.sin(4 * time)
    phase = 2 * torch.pi * torch.cumsum(f0.double() / MEL.sample_rate, 0)
    tone = torch.stack([torch.sin(k * phase) / k for k in range(1, 50)]).sum(0).float()
    samples = (0.15 * tone * (0.3 + torch.sin(7 * time).square()))[None]
    spectrogram = MelSpec(MEL)
    mel = spectrogram(samples)
    light = load_vocoder("light")
    output = light(mel)
    assert isinstance(light, SourceFilterVocoder) and output.shape == (1, mel.shape[1] * MEL.hop)
    loud = mel[:, 5:-5] > mel.max() - 5
    assert float((spectrogram(output) - mel)[:, 5:-5][loud].abs().mean()) < 0.35
    pitch, middles = light.generator.pitch(mel), (torch.arange(mel.shape[1]) * MEL.hop + MEL.hop // 2)
    cents = 1200 * (pitch.log_f0[0, 5:-5] - f0[middles][5:-5].log()).abs() / math.log(2)
    assert float(cents.median()) < 30 and float(pitch.voiced[0, 5:-5].mean()) > 0.9


def test_each_layer_is_a_module() -> None:
    generator = tiny_source_filter()
    modules = {module.name: module for module in Partition.by_layer(generator).modules}
    assert sum(module.size for module in modules.values()) == sum(p.numel() for p in generator.parameters())
    assert {"net.input", "net.blocks.0.depthwise", "net.blocks.0.widen", "net.output", "pitch.net.output"} <= set(
        modules
    )


def test_a_saved_folder_reads_back(tmp_path: Path) -> None:
    generator, mel = tiny_source_filter(), random_mel(40)
    save_source_filter(generator, tmp_path / "v", {"corpus": "tones"})
    assert json.loads((tmp_path / "v" / "state.json").read_text())["corpus"] == "tones"
    loaded = load_vocoder(tmp_path / "v")
    assert loaded.name == "light:v" and (loaded.sample_rate, loaded.hop) == (MEL.sample_rate, MEL.hop)
    for parameter in generator.parameters():  # the file has weights in half precision
        parameter.data = parameter.data.half().float()
    assert torch.equal(loaded(mel), SourceFilterVocoder(generator)(mel))


def test_a_damaged_folder_is_a_one_line_error_that_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    save_source_filter(tiny_source_filter(), folder, {})
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fault(name: str, content: bytes | None) -> str:
        for other, before in contents.items():
            (folder / other).write_bytes(before)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        message = error_line(lambda: load_source_filter(folder), TtsMetaError)
        assert str(folder) in message
        return message

    state = json.loads(contents["state.json"])
    assert "model.safetensors: cannot be read" in fault("model.safetensors", None)
    assert "the file is truncated" in fault("model.safetensors", contents["model.safetensors"][:100])
    assert "state.json: not JSON" in fault("state.json", b"{")
    assert "another format" in fault("state.json", json.dumps(state | {"format": 9}).encode())
    assert "SHA-256" in fault("state.json", json.dumps(state | {"sha256": "0"}).encode())
    config = json.loads(contents["config.json"])
    config["light"]["channels"] = 24
    assert "do not fit" in fault("config.json", json.dumps(config).encode())
    config["light"]["chanels"] = 24
    assert "channels" in fault("config.json", json.dumps(config).encode())


def test_mels_of_another_shape_are_a_one_line_error() -> None:
    assert "(B, T, 80)" in error_line(lambda: SourceFilterVocoder(tiny_source_filter())(torch.zeros(1, 5, 79)))


def test_the_pitch_is_the_mean_of_the_bins_around_the_best_bin() -> None:
    predictor = tiny_source_filter().pitch
    with torch.no_grad():
        predictor.net.output.weight.zero_()
        predictor.net.output.bias.zero_()
        predictor.net.output.bias[5] = predictor.net.output.bias[6] = 30.0
    pitch = predictor(random_mel(3))
    expected = (predictor.centres[5] + predictor.centres[6]) / 2
    torch.testing.assert_close(pitch.log_f0, expected.expand(1, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(pitch.voiced, torch.full((1, 3), 0.5))
