"""`choose_device`: the device to compute on, by name; and what the code must know about devices.

Two rules hold in the whole package. Examples, voices and audio are on the CPU; a function that runs a model moves its
input to the device of the model. Random numbers from a generator with a seed are drawn on the CPU and then moved, so
that the same seed gives the same numbers on every device.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from tts_meta.errors import UsageError, excerpt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# torch is imported inside the functions, because recipes are read before torch is needed.

NAMES = "auto, cpu, cuda, cuda:N or mps"
_NAME = re.compile(r"auto|cpu|cuda|cuda:\d{1,3}|mps|mps:0")
_WITHOUT_FLOAT64 = {"mps"}
"""Types of devices on which tensors of float64 cannot be created."""


def check_device_name(name: str) -> str:
    """Return the name. Raises ValueError if it is not one of `NAMES`; the device need not exist on this machine."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"unknown device '{excerpt(name, 40)}'; use {NAMES}")
    return name


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device of a name, with its index for a GPU.

    auto: a GPU of CUDA if there is one, else the GPU of Apple (mps), else the CPU. cuda: the current GPU, or under
    `torchrun` the GPU of this process. The processes of `torchrun` do not use mps for auto, because they cannot
    exchange gradients there. Raises UsageError for another name, and for a device that this machine does not have.
    """
    import torch

    name = str(name)
    try:
        check_device_name(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if has_cuda else "mps" if has_mps and not runs_in_torchrun() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cuda" and has_cuda:
        index = int(number) if number else _current_gpu()
        if index < torch.cuda.device_count():
            return torch.device("cuda", index)
        name = f"cuda:{index}"
    if kind == "mps" and has_mps:
        return torch.device("mps", 0)
    if kind == "cpu":
        return torch.device("cpu")
    raise UsageError(f"the device {name} is not available; this machine has {', '.join(available_devices())}")


def _current_gpu() -> int:
    """Return the number of the GPU of this process under `torchrun`, else of torch's current GPU."""
    import torch

    return int(os.environ.get("LOCAL_RANK", "0")) if runs_in_torchrun() else torch.cuda.current_device()


def available_devices() -> list[str]:
    """Return the names of the devices of this machine."""
    import torch

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def runs_in_torchrun() -> bool:
    """Return whether this process is one of several processes of `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def float64_device(device: torch.device) -> torch.device:
    """Return the device of float64 tensors that belong to tensors on `device`: the CPU if `device` has no float64."""
    import torch

    return torch.device("cpu") if device.type in _WITHOUT_FLOAT64 else device


def to_float64(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, on `float64_device` of its device."""
    return tensor.to(float64_device(tensor.device)).double()


def global_generators() -> list[torch.Generator]:
    """Return torch's global random generators: of the CPU, and of each GPU that this process can already use."""
    import torch

    generators = [torch.default_generator]
    if torch.cuda.is_initialized():
        generators += torch.cuda.default_generators
    if torch.backends.mps.is_available():
        generators.append(torch.mps._get_default_mps_generator())
    return generators
