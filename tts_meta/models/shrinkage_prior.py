"""The learned prior beside a base, or a vocoder: one variance σ² a module, in `prior.safetensors`.

Tensors: `log_variances (M,)`, and `path (K, M)`, σ after each meta-step, where it is known. Header: format, names of
the modules in that order, the SHA-256 of the weights, how it was learned, and how voices are cloned under it.
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

FORMAT = "1"
FILE = "prior.safetensors"
_ADVICE = "meta-train again or remove it"


@dataclass(frozen=True)
class ModulePrior:
    """σ² by module name; `origin` says which learner found it and how, as plain JSON.

    path: σ of each module after each meta-step; empty where it is not known. kept, temperature: chosen on speakers held
    back from meta-training. Only modules that are kept adapt, where any are named, and cloning takes σ² so many times
    as wide: what is likeliest is not yet what sounds most alike. rank: that matrices stray in, 0 for whole.
    """

    variances: dict[str, float]
    base_hash: str
    origin: dict[str, Any] = field(default_factory=dict)
    path: dict[str, list[float]] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    prior_scale: float = 1.0
    rank: int = 0

    @property
    def sigmas(self) -> dict[str, float]:
        """σ by module name."""
        return {name: variance**0.5 for name, variance in self.variances.items()}

    def strongest(self, part: float) -> tuple[str, ...]:
        """The modules that are kept or, where none are named, those whose σ² is at least `part` of the largest."""
        least = part * max(self.variances.values())
        return self.kept or tuple(name for name, variance in self.variances.items() if variance >= least)

    def isotropic(self, sigma: float) -> ModulePrior:
        """One σ for every module, and as wide as it says: what finding one for each is held against."""
        variances = dict.fromkeys(self.variances, sigma**2)
        return ModulePrior(variances, self.base_hash, {"learner": "none, one sigma for all"}, rank=self.rank)

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        header = {
            "format": FORMAT,
            "kind": "tts_meta prior",
            "modules": json.dumps(list(self.variances)),
            "base": self.base_hash,
            "origin": json.dumps(self.origin),
            "kept": json.dumps(self.kept),
            "prior_scale": repr(self.prior_scale),
            "rank": str(self.rank),
        }
        values = torch.tensor([math.log(v) for v in self.variances.values()], dtype=torch.float64)
        tensors = {"log_variances": values}
        if self.path:
            tensors["path"] = torch.tensor([self.path[name] for name in self.variances]).T.contiguous()
        with atomic_file(path) as temporary:
            write_tensors(temporary, tensors, header)

    def save_beside(self, folder: Path, digest: str) -> ModulePrior:
        """Write it into a folder as that of the weights of SHA-256 `digest`, and return it as such."""
        own = replace(self, base_hash=digest)
        own.save(folder / FILE)
        return own

    @classmethod
    def beside(cls, folder: Path, digest: str) -> ModulePrior | None:
        """That of the weights of SHA-256 `digest` in a folder, where it has one. Raises TtsMetaError as `load` does,
        and for the prior of other weights.
        """
        path = folder / FILE
        if not path.exists():
            return None
        prior = cls.load(path)
        if prior.base_hash != digest:
            raise TtsMetaError(f"{path}: the prior of other weights; meta-train again or remove it")
        return prior

    @classmethod
    def load(cls, path: str | Path) -> ModulePrior:
        """Read the file. Raises TtsMetaError where it is damaged or no prior."""
        file = TensorFile.open(path, _ADVICE)
        header = _read_header(file)
        modules = len(header.modules)
        shapes = {name: info.shape for name, info in file.infos.items()}
        if shapes.get("log_variances") != [modules] or len(shapes.get("path", [0, 0])) != 2:
            raise TtsMetaError(f"{path}: damaged, not one variance for each of {modules} modules; {_ADVICE}")
        if shapes.get("path", [0, modules])[1] != modules or set(shapes) - {"log_variances", "path"}:
            raise TtsMetaError(f"{path}: damaged, tensors that do not fit {modules} modules; {_ADVICE}")
        tensors = {name: tensor.double() for name, tensor in file.read().items()}
        variances = dict(zip(header.modules, tensors["log_variances"].exp().tolist(), strict=True))
        if not all(0 < variance < math.inf for variance in variances.values()):
            raise TtsMetaError(f"{path}: damaged, variances that are not positive numbers; {_ADVICE}")
        past = tensors.get("path", torch.zeros(0, modules))
        if bool((past <= 0).any()):
            raise TtsMetaError(f"{path}: damaged, a path of deviations that are not positive; {_ADVICE}")
        sigmas = dict(zip(header.modules, past.T.tolist(), strict=True)) if len(past) else {}
        kept = tuple(header.kept)
        return cls(variances, header.base, header.origin, sigmas, kept, header.prior_scale, header.rank)


class PriorHeader(Header):
    """The header of a prior's file."""

    modules: Annotated[list[Name], Field(min_length=1, max_length=10_000)]
    base: str = Field(max_length=64)
    origin: dict[Name, Any]
    kept: list[Name] = []  # noqa: RUF012
    prior_scale: Annotated[float, Field(gt=0)] = 1.0
    rank: Annotated[int, Field(ge=0, le=10_000)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.modules)) < len(self.modules):
            raise ValueError("a module is named twice")
        unknown = sorted(set(self.kept) - set(self.modules))
        if unknown:
            raise ValueError(f"the module '{unknown[0]}' is kept and has no variance")
        return self


def _read_header(file: TensorFile) -> PriorHeader:
    """What the header of a prior's file says. Its values are strings, of which some hold JSON."""
    if file.metadata.get("kind") != "tts_meta prior" or file.metadata.get("format") != FORMAT:
        raise TtsMetaError(f"{file.path}: not a prior of format {FORMAT}; {_ADVICE}")
    data: dict[str, Any] = dict(file.metadata)
    for name in ("modules", "origin", "kept", "prior_scale", "rank"):
        if name in data:
            try:
                data[name] = parse_json(data[name])
            except ParseError as error:
                raise TtsMetaError(f"{file.path}: damaged header ({name}: {error}); {_ADVICE}") from error
    return check_header(data, PriorHeader, f"{file.path}: damaged header", _ADVICE)
