"""Training state on disk, without pickles, so that a killed run goes on bit for bit.

A folder `training/` holds `tensors.safetensors` (weights, moving average, optimiser moments, random states) and
`state.json` (stage, step and scalars). Each holds the SHA-256 of the other, so that what was damaged or changed is
refused. It is written to a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_folder, sha256_file, write_tensors
from tts_meta.headers import Count, Digest, Header, Name, check_header, read_json
from tts_meta.tensors import TensorFile
from tts_meta.train.optimiser import MovingAverage

FORMAT = 2
MAX_STATE_BYTES = 50_000_000
"""Of `state.json`, which holds a number a module and a meta-step."""
_ADVICE = "delete it to start again"


class TrainingState(Header):
    """`state.json`. step: done so far. epoch, position: of the next batch. sigmas: of each module after each step."""

    format: int
    sha256: Digest
    step: Count
    epoch: Count = 0
    position: Count = 0
    sigmas: dict[Name, list[float]] = Field(default={})


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: MovingAverage | None,
    state: dict[str, Any],
) -> None:
    """Write everything that the next step depends on; `state` is plain JSON. Whole or not at all."""
    tensors = _model_tensors(model, average)
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    with atomic_folder(folder) as temporary:
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        path = temporary / "tensors.safetensors"
        write_tensors(path, contiguous, {"state": _digest(json.loads(json.dumps(state)))})
        data = {"format": FORMAT, "sha256": sha256_file(path), **state}
        (temporary / "state.json").write_text(json.dumps(data, indent=2), encoding="utf-8")


def load_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, average: MovingAverage | None
) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, random states too, and return its `state`.

    Raises TtsMetaError where the folder is damaged, was changed, or is of another format or another model. Nothing is
    restored then.
    """
    path = folder / "tensors.safetensors"
    data = read_json(folder / "state.json", _ADVICE, MAX_STATE_BYTES)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TtsMetaError(f"{folder}: training state of another version; {_ADVICE}")
    header = check_header(data, TrainingState, str(folder / "state.json"), _ADVICE)
    file = TensorFile.open(path, _ADVICE)
    state = {name: value for name, value in data.items() if name not in ("format", "sha256")}
    if header.sha256 != sha256_file(path) or file.metadata.get("state") != _digest(state):
        raise TtsMetaError(f"{folder}: damaged training state, its two files are not as they were saved; {_ADVICE}")
    expected = _model_tensors(model, average)
    found = {name for name in file.infos if name.startswith(("model.", "average."))}
    own = TensorFile(path, file.metadata, {name: file.infos[name] for name in found}, "choose another output folder")
    own.check_like(expected, "training state of another model")
    tensors = file.read(allow_infinite=True)  # a learner without a prior has infinite variances
    moments = _moments(tensors, optimiser, folder)

    model.load_state_dict(_under(tensors, "model."))
    if average is not None:
        for name, value in _under(tensors, "average.").items():
            average.weights[name].copy_(value)
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return state


def _model_tensors(model: nn.Module, average: MovingAverage | None) -> dict[str, Tensor]:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.weights.items()}
    return tensors


def _moments(
    tensors: dict[str, Tensor], optimiser: torch.optim.Optimizer, folder: Path
) -> dict[int, dict[str, Tensor]]:
    """The optimiser's moments by number of the parameter. Raises TtsMetaError where they are not those of its own."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimiser.").items():
        number, _, moment = name.partition(".")
        known = number.isdecimal() and int(number) < len(parameters)
        if not known or value.shape not in ((), parameters[int(number)].shape):
            raise TtsMetaError(f"{folder}: training state of another optimiser ({excerpt(name)}); {_ADVICE}")
        moments.setdefault(int(number), {})[moment] = value
    random = tensors.get("random.cpu")
    if random is None or random.dtype != torch.uint8 or random.shape != torch.get_rng_state().shape:
        raise TtsMetaError(f"{folder}: training state without a random state of this version of torch; {_ADVICE}")
    return moments


def _digest(state: dict[str, Any]) -> str:
    """SHA-256 of the plain data, whatever its order in a file."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
