"""Cloning with low-rank adapters (LoRA, Hu et al. 2022), a baseline for cloning with the shrinkage prior.

The adapters are those of the package `peft` (extra `lora`). The package supports linear, convolutional and embedding
layers, but no recurrent layers. Biases adapt too. Likelihood, batches and optimiser are those of `clone`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tts_meta.adapt.acoustic_task import AcousticTask, acoustic_nll, adaptable_modules
from tts_meta.adapt.settings import NO_PRIOR_STEPS, CloneSettings
from tts_meta.adapt.voice import Voice, as_stored
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Adam, Domain, ParameterLayout, ShrinkagePrior, run_inner_loop
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.models.low_rank import DOWN, UP
from tts_meta.models.partition import Module
from tts_meta.models.pretrained import Base

LORA_VERSION = 2
"""Version of the LoRA adaptation. Increase this version when the same recordings and settings would give another voice.

2: the voice file contains the adapters, with as many bits per number as the low-rank factors of `clone`.
"""
LEARNING_RATE = 1e-3
"""Default learning rate of Adam."""
_WRAPPED = "base_layer."
"""String that `peft` inserts into the names of a wrapped layer's original parameters."""


def clone_lora(base: Base, examples: Sequence[Example], rank: int, settings: CloneSettings) -> Voice:
    """Train LoRA adapters of `rank`, and biases, on aligned sentences of one speaker, and return the voice.

    The voice contains the two factors of each adapter with the precision of the voice file. The settings `modules`
    (empty: all), `steps`, `learning_rate`, `frames_per_step` and `seed` are used. The other settings are ignored.
    Raises UsageError if `peft` supports none of the chosen modules. Raises TtsMetaError if `peft` is not installed
    or the voice diverges.
    """
    chosen = adaptable_modules(base).select(settings.modules or ("*",))
    model = copy.deepcopy(base.acoustic)
    layers = _layers(model, chosen.parameters())
    if not layers:
        raise UsageError(
            "LoRA adapts linear, convolutional and embedding layers, but the chosen modules contain none of them; "
            "choose other modules"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)  # `torch.manual_seed` would also seed every GPU
        _inject(model, layers, rank)
    wrapped_names = {name.replace(_WRAPPED, ""): name for name, _ in model.named_parameters() if ".lora_" not in name}
    biases = [wrapped_names[name] for name in chosen.parameters() if base.acoustic.get_parameter(name).ndim == 1]
    adapted = [*(name for name, _ in model.named_parameters() if ".lora_" in name), *biases]
    size = sum(model.get_parameter(name).numel() for name in adapted)
    domain = Domain(
        model,
        acoustic_nll(model),
        ParameterLayout.from_modules(model, [Module("low rank", "LoRA", tuple(adapted), size)]),
    )
    task = AcousticTask(base, examples, chosen.names).task(None, settings.frames_per_step, settings.seed)
    learning_rate = settings.learning_rate or LEARNING_RATE
    steps = NO_PRIOR_STEPS if settings.steps is None else settings.steps
    meta, prior = parameter_vector(model, domain.adapted), ShrinkagePrior.isotropic(domain.adapted, torch.inf)
    displacements, _ = run_inner_loop(
        lambda params, step: domain.nll(params, torch.zeros(0), [task.at(step)]),
        meta,
        prior,
        Adam(),
        lambda step: learning_rate,
        steps,
    )
    learned = domain.adapted.unflatten((meta + displacements[-1])[0])
    with torch.no_grad():
        for name, value in learned.items():
            model.get_parameter(name).copy_(value)
        deltas = dict[str, Tensor]()
        for layer in layers:
            up, down = _factors(model.get_submodule(layer))
            deltas |= {f"{layer}.weight{UP}": up, f"{layer}.weight{DOWN}": down}
        for original_name, name in wrapped_names.items():
            if name in biases:
                deltas[original_name] = learned[name] - base.acoustic.get_parameter(original_name)
    return Voice(as_stored(deltas), base.hash, chosen.names, steps)


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
