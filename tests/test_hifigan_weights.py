"""HiFi-GAN weights in every published format, and the errors for broken files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faults import error_line
from helpers import TINY_HIFIGAN
from safetensors.torch import save_file
from torch import Tensor, nn

from tts_meta.models.vocoders.hifigan import V2, HifiGanGenerator
from tts_meta.models.vocoders.hifigan_weights import fold_weight_norm, load_hifigan


def test_both_formats_of_weight_norm_fold_to_the_weights_of_the_layer() -> None:
    layer = nn.ConvTranspose1d(6, 4, 5)
    weight = layer.weight.detach().clone()
    new = nn.utils.parametrizations.weight_norm(layer)
    state = {f"ups.0.{name}": tensor for name, tensor in new.state_dict().items()}
    state["ups.0.parametrizations.weight.original0"].mul_(3)
    folded = fold_weight_norm(state)
    torch.testing.assert_close(folded["ups.0.weight"], 3 * weight)
    assert set(folded) == {"ups.0.weight", "ups.0.bias"}
    old = {"a.weight_g": weight.norm(dim=(1, 2), keepdim=True), "a.weight_v": 7 * weight}
    torch.testing.assert_close(fold_weight_norm(old)["a.weight"], weight)


def test_half_precision_safetensors_and_training_prefixes_load_as_float32(tmp_path: Path) -> None:
    source = HifiGanGenerator(V2)
    half = {f"module.{name}": tensor.half() for name, tensor in source.state_dict().items()}
    save_file(half, tmp_path / "model.safetensors")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        generator = load_hifigan(path)
        assert generator.config == V2
        for name, parameter in generator.named_parameters():
            assert parameter.requires_grad and parameter.dtype == torch.float32
            assert torch.equal(parameter, half[f"module.{name}"].float())


def test_a_config_in_the_folder_of_the_weights_gives_unpublished_sizes(tmp_path: Path) -> None:
    source = HifiGanGenerator(TINY_HIFIGAN)
    torch.save(source.state_dict(), tmp_path / "light.pt")
    assert "is not HiFi-GAN V1, V2 or V3" in error_line(lambda: load_hifigan(tmp_path / "light.pt"))
    public = TINY_HIFIGAN.model_dump() | {"resblock": 1, "segment_size": 8192, "fmax_for_loss": None}
    (tmp_path / "config.json").write_text(json.dumps(public))
    generator = load_hifigan(tmp_path / "light.pt")
    assert generator.config == TINY_HIFIGAN
    mels = torch.randn(2, 9, 6)
    assert torch.equal(generator(mels), source.eval()(mels))
    # The config of another model in the same folder is ignored.
    (tmp_path / "config.json").write_text(json.dumps({"n_layers": 3}))
    assert "is not HiFi-GAN V1, V2 or V3" in error_line(lambda: load_hifigan(tmp_path / "light.pt"))


def _v2() -> dict[str, Tensor]:
    return dict(HifiGanGenerator(V2).state_dict())


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no vocoder weights at"),
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "text": (lambda path: path.write_text("hello"), "damaged"),
    "object inside": (
        lambda path: torch.save({"generator": Path("x")}, path),
        "objects other than tensors",
    ),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "no HiFi-GAN generator"),
    "another model": (lambda path: torch.save({"lstm.weight": torch.zeros(3)}, path), "conv_pre is missing"),
    "shape": (lambda path: torch.save(_v2() | {"ups.1.bias": torch.zeros(7)}, path), "ups.1.bias is 7"),
    "unknown": (
        lambda path: torch.save(_v2() | {"extra": torch.zeros(7)}, path),
        "the tensor extra is not in the HiFi-GAN config",
    ),
    "not finite": (lambda path: torch.save(_v2() | {"conv_post.bias": torch.tensor([torch.nan])}, path), "not finite"),
    "half a pair": (lambda path: torch.save({"conv_pre.weight_g": torch.ones(1, 1, 1)}, path), "incomplete"),
    "a gap": (lambda path: torch.save({k: v for k, v in _v2().items() if k != "ups.3.weight"}, path), "is missing"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_weights_are_a_one_line_error_that_names_the_fault(fault: str, tmp_path: Path) -> None:
    write, expected = BROKEN[fault]
    write(tmp_path / "g.pt")
    message = error_line(lambda: load_hifigan(tmp_path / "g.pt"))
    assert expected in message
    if fault != "half a pair":
        assert str(tmp_path) in message


def test_truncated_weights_and_broken_configs_are_one_line_errors(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    save_file(_v2(), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "damaged" in error_line(lambda: load_hifigan(path))
    path.write_bytes(content)
    config = V2.model_dump()
    for change, expected in [
        ({"upsample_rates": [8, 8]}, "same number"),
        ({"resblock": "3"}, "resblock"),
        ({"upsample_kernel_sizes": [15, 16, 4, 4]}, "does not fit the rate 8"),
        ({"num_mels": 64}, "conv_pre.weight is 128x80x7, but 128x64x7 in the HiFi-GAN config"),
    ]:
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        assert expected in error_line(lambda: load_hifigan(path))
    (tmp_path / "config.json").write_text("{")
    assert "not JSON" in error_line(lambda: load_hifigan(path))


def test_hostile_checkpoints_are_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "light.pt"

    def fault(content: object) -> str:
        torch.save(content, path)
        return error_line(lambda: load_hifigan(path))

    recursive: dict[str, object] = {}
    recursive["generator"] = recursive
    assert "has no HiFi-GAN generator" in fault(recursive)
    one = torch.zeros(1)
    terabytes = {"a.weight_g": one.expand(10**6, 1, 1), "a.weight_v": one.expand(10**6, 10**3, 10**3)}
    assert "is not a dense array of real numbers" in fault(terabytes)
    assert "is not a dense array of real numbers" in fault({"a": torch.zeros(2, dtype=torch.complex64)})
    assert "the name of a tensor is not printable" in fault({"a\x1b[2J": one})
    torch.save({"a": torch.zeros(10**6)}, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in archive.infolist():
            bomb.writestr(entry.filename, archive.read(entry))
    assert "a compressed archive" in error_line(lambda: load_hifigan(tmp_path / "bomb.pt"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsample_rates": [10**9, 2]}, "upsample_rates.0: Input should be less than or equal to 1024"),
        (
            {"upsample_rates": [1] * 99, "upsample_kernel_sizes": [1] * 99},
            "upsample_rates: Tuple should have at most",
        ),
        ({"upsample_initial_channel": 2**40}, "upsample_initial_channel: Input should be less than or equal to 8192"),
        ({"num_mels": float("nan")}, "NaN is not a finite number"),
        ({"upsample_rates": None}, "upsample_rates: Input should be a valid tuple"),
        ({"n_fft": 2}, "the mel settings are not valid: n_fft: Input should be greater than or equal to 16"),
        ({"n_fft": 16, "upsample_rates": [8, 8], "upsample_kernel_sizes": [8, 8]}, "hop is 64, longer than the window"),
        ({"fmin": 9000.0}, "f_max must lie above f_min"),
        ({"fmax": 1e9}, "f_max must lie above f_min and at most at half of sample_rate"),
    ],
)
def test_the_sizes_in_a_config_are_bounded(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    save_file(HifiGanGenerator(TINY_HIFIGAN).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(TINY_HIFIGAN.model_dump() | changes))
    assert message in error_line(lambda: load_hifigan(tmp_path))
