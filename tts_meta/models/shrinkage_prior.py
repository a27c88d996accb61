"""`ModulePrior`: the learned shrinkage prior of a base or vocoder, one variance σ² per module, stored in a file.

The file `prior.safetensors` contains the tensors `log_variances (M,)` and, if it is known, `sigma_history (K, M)`: σ
after each of K meta-steps. The header contains the format version, the names of the M modules in the order of the
tensors, the SHA-256 of the weights that the prior belongs to, how the prior was learned, and the settings for cloning
with this prior.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator

from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, write_tensors
from tts_meta.headers import Header, Name, check_header
from tts_meta.parsing import ParseError, parse_json
from tts_meta.tensors import TensorFile

FORMAT = "2"
FILE = "prior.safetensors"
_KIND = "tts_meta prior"
_ADVICE = "meta-train again or remove it"


@dataclass(frozen=True)
class ModulePrior:
    """σ² by module name. A module's offset from the meta-parameters has the prior N(0, σ² I).

    weights_hash: SHA-256 of the weights that the prior belongs to. origin: the meta-learner and its settings, as plain
    JSON. sigma_history: σ of each module after each meta-step; empty if it is not known. adapted_modules: the only
    modules that cloning adapts; empty if cloning chooses them by σ². prior_scale: factor of every σ² in cloning.
    adapted_modules and prior_scale are chosen on speakers held out from meta-training. rank: rank of the offsets of
    matrices; 0 means full rank.
    """

    variances: dict[str, float]
    weights_hash: str
    origin: dict[str, Any] = field(default_factory=dict)
    sigma_history: dict[str, list[float]] = field(default_factory=dict)
    adapted_modules: tuple[str, ...] = ()
    prior_scale: float = 1.0
    rank: int = 0

    @property
    def sigmas(self) -> dict[str, float]:
        """σ by module name."""
        return {name: variance**0.5 for name, variance in self.variances.items()}

    def strongest(self, fraction: float) -> tuple[str, ...]:
        """Return `adapted_modules` or, if empty, the modules with a σ² of at least `fraction` of the largest σ²."""
        threshold = fraction * max(self.variances.values())
        return self.adapted_modules or tuple(name for name, variance in self.variances.items() if variance >= threshold)

    def isotropic(self, sigma: float) -> ModulePrior:
        """Return a prior with the same σ for every module and a scale of 1, the baseline for one σ per module."""
        variances = dict.fromkeys(self.variances, sigma**2)
        return ModulePrior(variances, self.weights_hash, {"learner": "none, one sigma for all"}, rank=self.rank)

    def save(self, path: str | Path) -> None:
        """Write the file atomically."""
        header = {
            "format": FORMAT,
            "kind": _KIND,
            "modules": json.dumps(list(self.variances)),
            "weights_hash": self.weights_hash,
            "origin": json.dumps(self.origin),
            "adapted_modules": json.dumps(self.adapted_modules),
            "prior_scale": repr(self.prior_scale),
            "rank": str(self.rank),
        }
        log_variances = [math.log(variance) for variance in self.variances.values()]
        tensors = {"log_variances": torch.tensor(log_variances, dtype=torch.float64)}
        if self.sigma_history:
            history = torch.tensor([self.sigma_history[name] for name in self.variances])  # (M, K)
            tensors["sigma_history"] = history.T.contiguous()
        with atomic_file(path) as temporary:
            write_tensors(temporary, tensors, header)

    def save_to(self, folder: Path, weights_hash: str) -> ModulePrior:
        """Write the prior into the folder of the weights with the SHA-256 `weights_hash`; return the written prior."""
        prior = replace(self, weights_hash=weights_hash)
        prior.save(folder / FILE)
        return prior

    @classmethod
    def load_from(cls, folder: Path, weights_hash: str) -> ModulePrior | None:
        """Return the prior in the folder of the weights with the SHA-256 `weights_hash`; None if there is no prior.

        Raises TtsMetaError as `load` does, and for a prior that belongs to other weights.
        """
        path = folder / FILE
        if not path.exists():
            return None
        prior = cls.load(path)
        if prior.weights_hash != weights_hash:
            raise TtsMetaError(f"{path}: the prior belongs to other weights; {_ADVICE}")
        return prior

    @classmethod
    def load(cls, path: str | Path) -> ModulePrior:
        """Read the file of a prior. Raises TtsMetaError if the file is damaged or not a prior of this format."""
        file = TensorFile.open(path, _ADVICE)
        header = _read_header(file)
        modules = len(header.modules)
        shapes = {name: info.shape for name, info in file.infos.items()}
        if shapes.get("log_variances") != [modules] or len(shapes.get("sigma_history", [0, 0])) != 2:
            raise TtsMetaError(f"{path}: damaged, not one variance for each of {modules} modules; {_ADVICE}")
        if shapes.get("sigma_history", [0, modules])[1] != modules or set(shapes) - {"log_variances", "sigma_history"}:
            raise TtsMetaError(f"{path}: damaged, tensors that do not fit {modules} modules; {_ADVICE}")
        tensors = {name: tensor.double() for name, tensor in file.read().items()}
        variances = dict(zip(header.modules, tensors["log_variances"].exp().tolist(), strict=True))
        if not all(0 < variance < math.inf for variance in variances.values()):
            raise TtsMetaError(f"{path}: damaged, variances that are not positive numbers; {_ADVICE}")
        history = tensors.get("sigma_history", torch.zeros(0, modules))
        if bool((history <= 0).any()):
            raise TtsMetaError(f"{path}: damaged, a history of deviations that are not positive; {_ADVICE}")
        return cls(
            variances,
            header.weights_hash,
            header.origin,
            dict(zip(header.modules, history.T.tolist(), strict=True)) if len(history) else {},
            tuple(header.adapted_modules),
            header.prior_scale,
            header.rank,
        )


class PriorHeader(Header):
    """The header of `prior.safetensors`."""

    modules: Annotated[list[Name], Field(min_length=1, max_length=10_000)]
    weights_hash: str = Field(max_length=64)
    origin: dict[Name, Any]
    adapted_modules: list[Name] = []  # noqa: RUF012
    prior_scale: Annotated[float, Field(gt=0)] = 1.0
    rank: Annotated[int, Field(ge=0, le=10_000)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.modules)) < len(self.modules):
            raise ValueError("a module is named twice")
        unknown = sorted(set(self.adapted_modules) - set(self.modules))
        if unknown:
            raise ValueError(f"the module '{unknown[0]}' of adapted_modules has no variance")
        return self


def _read_header(file: TensorFile) -> PriorHeader:
    """Return the checked header of a prior's file. The values in the file are strings; some are JSON."""
    if file.metadata.get("kind") != _KIND or file.metadata.get("format") != FORMAT:
        raise TtsMetaError(f"{file.path}: not a prior of format {FORMAT}; {_ADVICE}")
    data: dict[str, Any] = dict(file.metadata)
    for name in ("modules", "origin", "adapted_modules", "prior_scale", "rank"):
        if name in data:
            try:
                data[name] = parse_json(data[name])
            except ParseError as error:
                raise TtsMetaError(f"{file.path}: damaged header ({name}: {error}); {_ADVICE}") from error
    return check_header(data, PriorHeader, f"{file.path}: damaged header", _ADVICE)
