"""The learner `lora`: low-rank adapters (LoRA, Hu et al. 2022), a baseline for the shrinkage prior.

The adapters are those of the package `peft` (extra `lora`). The package supports linear, convolutional and embedding
layers, but no recurrent layers. Biases adapt too. Likelihood, batches and inner loop are those of the other learners.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.config import Section
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Adapted, Budget, Domain, MetaLearner, Params, Task, create_learner, register
from tts_meta.meta.domain import partition_parameters
from tts_meta.meta.learner import Observer
from tts_meta.models.low_rank import DOWN, UP
from tts_meta.models.partition import Module

RANK, LEARNING_RATE = 8, 1e-3
"""Default rank of the adapters, and default learning rate of Adam."""
_WRAPPED = "base_layer."
"""String that `peft` inserts into the names of a wrapped layer's original parameters."""


class LoraSettings(Section):
    """Settings of LoRA."""

    rank: int = Field(default=RANK, gt=0)
    """Rank of the adapters."""
    inner_lr: float = Field(default=LEARNING_RATE, gt=0)
    """Learning rate of Adam."""


@register("lora", source="Hu et al. 2022")
class Lora(MetaLearner[LoraSettings]):
    """Adapters of low rank for the matrices, and full changes of the biases, without a prior.

    Raises UsageError if `peft` supports none of the modules that adapt. Raises TtsMetaError if it is not installed.
    """

    Settings = LoraSettings
    version = 2
    trainable = False

    def build(self) -> None:
        names = partition_parameters(self.adapted_modules)
        model = copy.deepcopy(self.domain.model)
        self.layers = _layers(model, names)
        if not self.layers:
            raise UsageError(
                "LoRA adapts linear, convolutional and embedding layers, but the chosen modules contain none of them; "
                "choose other modules"
            )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)  # `torch.manual_seed` would also seed every GPU
            _inject(model, self.layers, self.settings.rank)
        model.requires_grad_(False)  # `peft` freezes all but the adapters, and the biases adapt too
        original = {name.replace(_WRAPPED, ""): name for name, _ in model.named_parameters() if ".lora_" not in name}
        self.biases = {name: original[name] for name in names if self.domain.model.get_parameter(name).ndim == 1}
        adapted = [*(name for name, _ in model.named_parameters() if ".lora_" in name), *self.biases.values()]
        size = sum(model.get_parameter(name).numel() for name in adapted)
        domain = Domain(model, self.domain.loss, [Module("adapters", "LoRA", tuple(adapted), size)])
        settings = {"inner_solver": "adam", "inner_lr": self.settings.inner_lr}
        # A list, so that the learner of the adapters is no submodule: they are new for every task.
        self._adapters = [create_learner("finetune-all", domain, settings, seed=self.seed)]

    def adapt(self, tasks: Sequence[Task], budget: Budget, observe: Observer | None = None) -> Adapted:
        """Adapt the adapters and the biases. The result has the two factors of each matrix, and the biases."""
        inner = self._adapters[0].adapt(tasks, budget, observe)
        rows = [self._changes(inner.task(index)) for index in range(len(tasks))]
        changes = {name: torch.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
        return replace(inner, params=changes, displacements=changes)

    def start(self, tasks: int = 1) -> Params:
        return self._adapters[0].start(tasks)

    def score(self, params: Params, data: Sequence) -> Tensor:
        return self._adapters[0].score(params, data)

    def _changes(self, params: Params) -> Params:
        """Return the factors of each matrix and the changes of the biases, by name in the domain's model."""
        model = self._adapters[0].domain.model
        with torch.no_grad():
            for name, value in params.items():
                model.get_parameter(name).copy_(value)
        changes = dict[str, Tensor]()
        for layer in self.layers:
            up, down = _factors(model.get_submodule(layer))
            changes |= {f"{layer}.weight{UP}": up.clone(), f"{layer}.weight{DOWN}": down.clone()}
        for name, wrapped in self.biases.items():
            changes[name] = params[wrapped] - self.domain.model.get_parameter(name).detach()
        return changes


def _layers(model: nn.Module, parameters: Sequence[str]) -> list[str]:
    """Return the names of the layers that `peft` supports and whose matrices are among the parameters."""
    kinds = (nn.Linear, nn.Conv1d, nn.Embedding)
    names = [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
    return [name for name in names if isinstance(model.get_submodule(name), kinds)]


def _inject(model: nn.Module, layers: Sequence[str], rank: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TtsMetaError("LoRA needs the package peft; install it with: pip install '.[lora]'") from error
    # The adapter's output is scaled by lora_alpha / rank, which is 1 here.
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(layers)), model)


def _factors(layer: Any) -> tuple[Tensor, Tensor]:
    """Return the factors `(rows, rank)` and `(rank, columns)` of the change of a layer's matrix."""
    if "default" in layer.lora_embedding_A:
        return layer.lora_embedding_A["default"].detach().T, layer.lora_embedding_B["default"].detach().T
    down, up = (side["default"].weight.detach() for side in (layer.lora_A, layer.lora_B))
    return up.flatten(1), down.flatten(1)
