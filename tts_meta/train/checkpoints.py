"""Training state on disk, without pickles, so that a killed run goes on bit for bit.

A folder `training/` holds `tensors.safetensors` (weights, moving average, optimiser moments, random states) and
`state.json` (stage, step and scalars). It is written to a temporary name and renamed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_folder, write_tensors
from tts_meta.train.optimiser import MovingAverage

FORMAT = 1


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: MovingAverage | None,
    state: dict[str, Any],
) -> None:
    """Write everything that the next step depends on; `state` is plain JSON. Whole or not at all."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.weights.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    with atomic_folder(folder) as temporary:
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_tensors(temporary / "tensors.safetensors", contiguous)
        (temporary / "state.json").write_text(json.dumps({"format": FORMAT, **state}, indent=2), encoding="utf-8")


def load_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, average: MovingAverage | None
) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, random states too, and return its `state`.

    Raises TtsMetaError where the folder is damaged, of another format, or of another model.
    """
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        tensors = safetensors.torch.load_file(folder / "tensors.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise TtsMetaError(f"{folder}: damaged training state ({error}); delete it to start anew") from error
    if state.pop("format", None) != FORMAT:
        raise TtsMetaError(f"{folder}: training state of another version; delete it to start anew")
    try:
        model.load_state_dict(_under(tensors, "model."))
    except RuntimeError as error:
        raise TtsMetaError(f"{folder}: training state of another model; choose another output folder") from error
    if average is not None:
        for name, value in _under(tensors, "average.").items():
            average.weights[name].copy_(value)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimiser.").items():
        number, moment = name.split(".")
        moments.setdefault(int(number), {})[moment] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return state


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
