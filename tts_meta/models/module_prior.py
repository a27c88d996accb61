"""The learned prior beside a base: one variance σ² a module, in `prior.safetensors`.

Tensors: `log_variances (M,)`. Header: format, the modules' names in the same order, the base's SHA-256, and how it was
learned.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
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
    """σ² by module name; `origin` says which learner found it and how, as plain JSON."""

    variances: dict[str, float]
    base_hash: str
    origin: dict[str, Any] = field(default_factory=dict)

    def strongest(self, part: float) -> tuple[str, ...]:
        """Modules whose σ² is at least `part` of the largest, in order; the others are as good as shared."""
        largest = max(self.variances.values())
        return tuple(name for name, variance in self.variances.items() if variance >= part * largest)

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        header = {
            "format": FORMAT,
            "kind": "tts_meta prior",
            "modules": json.dumps(list(self.variances)),
            "base": self.base_hash,
            "origin": json.dumps(self.origin),
        }
        values = torch.tensor([math.log(v) for v in self.variances.values()], dtype=torch.float64)
        with atomic_file(path) as temporary:
            write_tensors(temporary, {"log_variances": values}, header)

    @classmethod
    def load(cls, path: str | Path) -> ModulePrior:
        """Read the file. Raises TtsMetaError where it is damaged or no prior."""
        try:
            with safetensors.safe_open(path, framework="pt") as handle:
                header, values = handle.metadata() or {}, handle.get_tensor("log_variances")
            if header["kind"] != "tts_meta prior" or header["format"] != FORMAT:
                raise ValueError("another kind or format of file")
            names = json.loads(header["modules"])
            variances = dict(zip(names, values.exp().tolist(), strict=True))
            if not variances or not all(0 < v < math.inf for v in variances.values()):
                raise ValueError("variances that are not positive numbers")
            return cls(variances, header["base"], json.loads(header["origin"]))
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise TtsMetaError(f"{path}: not a prior, or damaged ({error}); meta-train again or remove it") from error
