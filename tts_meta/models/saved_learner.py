"""`SavedLearner`: a meta-trained learner, stored in two files in the folder of the weights that it belongs to.

learner.json         format version; name, version and settings of the learner; names of its modules; SHA-256 of the
                     weights and of learner.safetensors
learner.safetensors  meta-parameters that are not weights of the model; `history/sigma (K, M)`: σ of each of the M
                     modules after each of K meta-steps

The weights are those of a base folder or of the folder of a light vocoder. Nothing is unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_file, check_path, sha256_file, write_tensors
from tts_meta.headers import check_header, read_json
from tts_meta.models.learner_format import LOG_VARIANCES, SIGMA_HISTORY, LearnerHeader, Model, tensor_fault
from tts_meta.models.partition import DEFAULT_GRANULARITY, Granularity
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.tensors import TensorFile

FORMAT = 1
FILE, TENSOR_FILE = "learner.json", "learner.safetensors"
OLD_FILE = "prior.safetensors"
"""File of older versions, which contained only a prior."""
CLONING_SETTINGS: dict[str, Any] = {
    "inner_solver": "adam",
    "inner_lr": 0.2,
    "scale_lr_by_sigma": True,
    "inner_lr_final_fraction": 0.0,
}
"""Settings of the inner loop of cloning with a prior: Adam, from 0.2 of each module's σ linearly to zero."""
_KIND = "tts_meta learner"
_ADVICE = f"meta-train again, or remove {FILE} and {TENSOR_FILE}"


@dataclass(frozen=True, eq=False)
class SavedLearner:
    """A meta-trained learner and what it needs to adapt the weights that it belongs to.

    learner: registered name, such as "sigma-imaml". version: version of the learner's class. settings: settings of
    the learner, as plain JSON. model: the model that adapts. weights_hash: SHA-256 of the weights of that model.
    modules: names of the M modules that adapt, in the order of the tensors. shared: names of the modules that are
    meta-learned but are the same for all tasks. tensors: the meta-parameters that are not weights of the model, by
    name; `log_variances (M,)` is ln σ² (+inf: no prior), `step_sizes` is `()`, `(P,)` or `(M, K)`. rank: rank of the
    changes of matrices; 0 means full rank. meta_steps: number of meta-steps. adapted_modules: the only modules that
    cloning adapts; empty if cloning chooses them by σ². prior_scale: factor of every σ² in cloning. sigma_history: σ
    of each module after each meta-step. origin: how the tensors were learned, as plain JSON. granularity: size of the
    modules (`partition.py`).
    """

    learner: str
    version: int
    settings: dict[str, Any]
    model: Model
    weights_hash: str
    modules: tuple[str, ...]
    shared: tuple[str, ...] = ()
    tensors: dict[str, Tensor] = field(default_factory=dict, repr=False)
    rank: int = 0
    meta_steps: int = 0
    adapted_modules: tuple[str, ...] = ()
    prior_scale: float = 1.0
    sigma_history: dict[str, list[float]] = field(default_factory=dict, repr=False)
    origin: dict[str, Any] = field(default_factory=dict)
    granularity: Granularity = DEFAULT_GRANULARITY

    @classmethod
    def of_prior(
        cls,
        prior: ModulePrior,
        model: Model,
        weights_hash: str,
        *,
        meta_steps: int = 0,
        origin: dict[str, Any] | None = None,
    ) -> SavedLearner:
        """Return the learner "sigma-imaml" with this prior and `CLONING_SETTINGS`."""
        log_variances = [math.log(variance) for variance in prior.variances.values()]
        learner = cls(
            "sigma-imaml",
            1,
            dict(CLONING_SETTINGS),
            model,
            weights_hash,
            tuple(prior.variances),
            tensors={LOG_VARIANCES: torch.tensor(log_variances, dtype=torch.float64)},
            rank=prior.rank,
            meta_steps=meta_steps,
            adapted_modules=prior.adapted_modules,
            prior_scale=prior.prior_scale,
            sigma_history=prior.sigma_history,
            origin=origin or {},
            granularity=prior.granularity,
        )
        vars(learner)["prior"] = prior  # exp(ln σ²) can differ from σ² in the last bit
        return learner

    @cached_property
    def prior(self) -> ModulePrior | None:
        """The prior of the modules; None if the learner has no variances or one of them is infinite."""
        log_variances = self.tensors.get(LOG_VARIANCES)
        if log_variances is None or not self.modules or bool(log_variances.isinf().any()):
            return None
        variances = dict(zip(self.modules, log_variances.double().exp().tolist(), strict=True))
        return ModulePrior(
            variances, self.sigma_history, self.adapted_modules, self.prior_scale, self.rank, self.granularity
        )

    @property
    def trained_by(self) -> str:
        """Name of the learner whose meta-training gave the tensors: that in `origin`, or else `learner`."""
        return str(self.origin.get("learner", self.learner))

    def summary(self) -> dict[str, Any]:
        """Return the fields that say which learner this is and how it was trained, as plain JSON."""
        names = ("learner", "version", "meta_steps", "rank", "granularity", "prior_scale", "settings", "origin")
        return {name: getattr(self, name) for name in names} | {"tensors": sorted(self.tensors)}

    def check_fits(
        self,
        weights_hash: str,
        module_names: Collection[str],
        folder: Path | None,
        *,
        needed: Collection[str] = (),
        version: int | None = None,
    ) -> None:
        """Check that the learner can adapt a model.

        weights_hash, module_names, folder: SHA-256 of the model's weights, names of its modules, and its folder.
        needed: modules that the caller adapts. version: version of the learner's class; None is not compared. Raises
        TtsMetaError if the learner belongs to other weights, has a module that the model has not, has no module of
        `needed`, or was saved by another version of its class.
        """
        where = "the base" if folder is None else folder
        if self.weights_hash != weights_hash:
            hashes = f"{excerpt(self.weights_hash, 12) or 'none'}, not {weights_hash[:12] or 'none'}"
            raise TtsMetaError(
                f"the learner '{self.learner}' belongs to other weights than those of {where} (SHA-256 {hashes}); "
                "give a learner that was meta-trained from it"
            )
        if version is not None and version != self.version:
            raise TtsMetaError(
                f"the learner '{self.learner}' was saved by version {self.version} of its class, and this is version "
                f"{version}; meta-train again"
            )
        unknown = [name for name in (*self.modules, *self.shared) if name not in module_names]
        if unknown:
            raise TtsMetaError(
                f"the learner '{self.learner}' has the module '{excerpt(unknown[0])}', which {where} has not; "
                "meta-train again"
            )
        missing = [name for name in needed if name not in self.modules]
        if missing:
            raise TtsMetaError(
                f"the learner '{self.learner}' does not adapt the module '{missing[0]}'; leave the module out, or "
                "meta-train with it"
            )

    def save(self, folder: str | Path) -> None:
        """Write both files. A failure changes neither; a process that is killed between them leaves a refused pair.

        Raises TtsMetaError if `load` would refuse the files.
        """
        folder, tensors = Path(folder), dict(self.tensors)
        if self.sigma_history:
            history = torch.tensor([self.sigma_history[name] for name in self.modules])  # (M, K)
            tensors[SIGMA_HISTORY] = history.T.contiguous()
        source, advice = f"{folder}: the learner is not written", "meta-train again"
        check_header(self._header(""), LearnerHeader, source, advice)
        if fault := tensor_fault(tensors, len(self.modules)):
            raise TtsMetaError(f"{source}: {fault}; {advice}")
        stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        with atomic_file(folder / FILE) as header, atomic_file(folder / TENSOR_FILE) as temporary:
            write_tensors(temporary, stored, {"format": str(FORMAT), "kind": _KIND})
            text = json.dumps(self._header(sha256_file(temporary)), indent=1, ensure_ascii=False)
            header.write_text(text + "\n", encoding="utf-8")

    def save_to(self, folder: Path, weights_hash: str) -> SavedLearner:
        """Write the learner into the folder of the weights with the SHA-256 `weights_hash`; return the written one."""
        learner = replace(self, weights_hash=weights_hash)
        learner.save(folder)
        return learner

    def _header(self, tensors_hash: str) -> dict[str, Any]:
        """Return the content of `learner.json`."""
        return {
            "kind": _KIND,
            "format": FORMAT,
            "learner": self.learner,
            "version": self.version,
            "model": self.model,
            "weights_hash": self.weights_hash,
            "tensors_hash": tensors_hash,
            "settings": self.settings,
            "rank": self.rank,
            "granularity": self.granularity,
            "meta_steps": self.meta_steps,
            "prior_scale": self.prior_scale,
            "adapted_modules": list(self.adapted_modules),
            "modules": list(self.modules),
            "shared": list(self.shared),
            "origin": self.origin,
        }

    @classmethod
    def load_from(cls, folder: Path, weights_hash: str, model: Model) -> SavedLearner | None:
        """Return the learner in the folder of the weights with the SHA-256 `weights_hash`; None if there is none.

        Raises TtsMetaError as `load` does, for a learner of other weights or of the other model, and for a folder
        with the file `prior.safetensors` of an older version.
        """
        if not (folder / FILE).exists() and not (folder / TENSOR_FILE).exists():
            if (folder / OLD_FILE).exists():
                raise TtsMetaError(
                    f"{folder / OLD_FILE}: a prior of an older version, which is not read; meta-train again or "
                    "remove it"
                )
            return None
        learner = cls.load(folder)
        if (learner.weights_hash, learner.model) != (weights_hash, model):
            raise TtsMetaError(f"{folder / FILE}: the learner belongs to other weights; {_ADVICE}")
        return learner

    @classmethod
    def load(cls, path: str | Path) -> SavedLearner:
        """Read a learner. path: the folder of the files, or `learner.json`.

        Half-precision tensors become float32. Raises TtsMetaError if a file is missing or damaged, is not a learner
        of this format, or the files do not belong together.
        """
        path = check_path("learner", path)
        path = path / FILE if path.is_dir() else path
        data = read_json(path, _ADVICE)
        if not isinstance(data, dict) or data.get("kind") != _KIND or data.get("format") != FORMAT:
            raise TtsMetaError(f"{path}: not a learner of format {FORMAT}; {_ADVICE}")
        header = check_header(data, LearnerHeader, str(path), _ADVICE)
        tensors = _read_tensors(path.with_name(TENSOR_FILE), header)
        history = tensors.pop(SIGMA_HISTORY, torch.zeros(0, len(header.modules))).double()
        return cls(
            header.learner,
            header.version,
            header.settings,
            header.model,
            header.weights_hash,
            tuple(header.modules),
            tuple(header.shared),
            tensors,
            header.rank,
            header.meta_steps,
            tuple(header.adapted_modules),
            header.prior_scale,
            dict(zip(header.modules, history.T.tolist(), strict=True)) if len(history) else {},
            header.origin,
            header.granularity,
        )


def _read_tensors(path: Path, header: LearnerHeader) -> dict[str, Tensor]:
    """Return the checked tensors of the file that a header names, those of half precision as float32."""
    file = TensorFile.open(path, _ADVICE)
    if sha256_file(path) != header.tensors_hash:
        raise TtsMetaError(f"{path}: not the tensors that {FILE} names (SHA-256); {_ADVICE}")
    tensors = {
        name: value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        for name, value in file.read(allow_infinite=True).items()
    }
    if fault := tensor_fault(tensors, len(header.modules)):
        raise TtsMetaError(f"{path}: damaged, {fault}; {_ADVICE}")
    return tensors
