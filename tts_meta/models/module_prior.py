"""The learned prior beside a base, or a vocoder: one variance σ² a module, in `prior.safetensors`.

Tensors: `log_variances (M,)`, and `path (K, M)`, σ after each meta-step, where it is known. Header: format, names of
the modules in that order, the SHA-256 of the weights, how it was learned, and how voices are cloned under it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors import SafetensorError

from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, write_tensors

FORMAT = "1"
FILE = "prior.safetensors"


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
    temperature: float = 1.0
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
            "temperature": repr(self.temperature),
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
        try:
            with safetensors.safe_open(path, framework="pt") as handle:
                header, values = handle.metadata() or {}, handle.get_tensor("log_variances")
                past = handle.get_tensor("path") if "path" in handle.keys() else torch.zeros(0, len(values))  # noqa: SIM118
            if header["kind"] != "tts_meta prior" or header["format"] != FORMAT:
                raise ValueError("another kind or format of file")
            names = json.loads(header["modules"])
            variances = dict(zip(names, values.exp().tolist(), strict=True))
            if not variances or not all(0 < v < math.inf for v in variances.values()):
                raise ValueError("variances that are not positive numbers")
            sigmas = dict(zip(names, past.T.tolist(), strict=True)) if len(past) else {}
            kept, temperature = tuple(json.loads(header.get("kept", "[]"))), float(header.get("temperature", "1"))
            if set(kept) - set(names) or not 0 < temperature < math.inf:
                raise ValueError("modules kept that have no variance, or a temperature that is not positive")
            how = kept, temperature, int(header.get("rank", "0"))
            return cls(variances, header["base"], json.loads(header["origin"]), sigmas, *how)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise TtsMetaError(f"{path}: not a prior, or damaged ({error}); meta-train again or remove it") from error
