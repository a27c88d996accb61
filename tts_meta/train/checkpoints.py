"""Training checkpoints without pickles, from which a stopped run continues bit for bit.

The folder `training/` holds `tensors.safetensors` (weights, moving average, optimiser moments, random states) and
`state.json` (step and scalars). Each holds the SHA-256 of the other, so that a damaged or changed checkpoint is
refused. The folder is written to a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_folder, sha256_file, write_tensors
from tts_meta.headers import Count, Digest, Header, Name, check_header, read_json
from tts_meta.tensors import TensorFile

FORMAT = 2
MAX_STATE_BYTES = 50_000_000
"""Largest size of `state.json`, which holds one number per module and meta-step."""
_ADVICE = "delete it to start again"


class TrainingState(Header):
    """`state.json`: steps done, epoch and position of the next step's data, and σ of each module after each meta-step.

    group: number of processes with which the run began. validation_loss: loss at this step, if it was measured.
    resumed_from: name of the checkpoint that `--resume` named.
    """

    format: int
    sha256: Digest
    step: Count
    epoch: Count = 0
    position: Count = 0
    group: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    sigmas: dict[Name, list[float]] = Field(default={})
    validation_loss: float | None = None
    resumed_from: Name | None = None


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: AveragedModel | None,
    state: dict[str, Any],
    task_state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write everything that the next step depends on, completely or not at all.

    state: plain JSON. task_state: tensors by the name of a task (`MetaLearner.task_state`).
    """
    tensors = _model_tensors(model, average) | {f"task.{name}": value for name, value in (task_state or {}).items()}
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
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: AveragedModel | None,
    load_task_state: Callable[[dict[str, Tensor]], None] = lambda state: None,
) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, including the random states, and return its `state`.

    load_task_state: is called with the `task_state` that was written.

    Raises TtsMetaError, and restores nothing, if the folder is damaged, was changed, or is of another format or model.
    """
    path = folder / "tensors.safetensors"
    data = read_json(folder / "state.json", _ADVICE, MAX_STATE_BYTES)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TtsMetaError(f"{folder}: checkpoint of another version; {_ADVICE}")
    header = check_header(data, TrainingState, str(folder / "state.json"), _ADVICE)
    file = TensorFile.open(path, _ADVICE)
    state = {name: value for name, value in data.items() if name not in ("format", "sha256")}
    if header.sha256 != sha256_file(path) or file.metadata.get("state") != _digest(state):
        raise TtsMetaError(f"{folder}: damaged checkpoint, its two files differ from what was saved; {_ADVICE}")
    expected = _model_tensors(model, average)
    infos = {name: info for name, info in file.infos.items() if name.startswith(("model.", "average."))}
    model_file = TensorFile(path, file.metadata, infos, "choose another output folder")
    model_file.check_like(expected, "checkpoint of another model")
    tensors = file.read(allow_infinite=True)  # a learner without a prior has infinite variances
    moments = _moments(tensors, optimiser, folder)

    load_task_state(_with_prefix(tensors, "task."))
    model.load_state_dict(_with_prefix(tensors, "model."))
    if average is not None:
        average.module.load_state_dict(_with_prefix(tensors, "average."))
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return state


def _model_tensors(model: nn.Module, average: AveragedModel | None) -> dict[str, Tensor]:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.module.state_dict().items()}
    return tensors


def _moments(
    tensors: dict[str, Tensor], optimiser: torch.optim.Optimizer, folder: Path
) -> dict[int, dict[str, Tensor]]:
    """The optimiser's moments by number of the parameter. Raises TtsMetaError if they do not fit the optimiser."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _with_prefix(tensors, "optimiser.").items():
        number, _, moment = name.partition(".")
        known = number.isdecimal() and int(number) < len(parameters)
        if not known or value.shape not in ((), parameters[int(number)].shape):
            raise TtsMetaError(f"{folder}: checkpoint of another optimiser ({excerpt(name)}); {_ADVICE}")
        moments.setdefault(int(number), {})[moment] = value
    random = tensors.get("random.cpu")
    if random is None or random.dtype != torch.uint8 or random.shape != torch.get_rng_state().shape:
        raise TtsMetaError(f"{folder}: checkpoint without a random state of this version of torch; {_ADVICE}")
    return moments


def _digest(state: dict[str, Any]) -> str:
    """SHA-256 of plain data, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
