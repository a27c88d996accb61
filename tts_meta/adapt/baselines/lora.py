"""Cloning by low-rank adapters (LoRA, Hu et al. 2022), a rival of the modules that shrinkage finds.

The adapters are those of the library `peft` (extra `lora`), which knows linear, convolutional and embedding layers and
no recurrent ones; biases adapt beside them. The likelihood, what each step sees and Adam are those of `clone.py`.
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
"""Version of how LoRA adapts. Increase it when the same recordings and settings would give another voice.

2: the voice holds the adapters themselves, in as many bits a number as the low-rank changes of `clone`.
"""
LEARNING_RATE = 1e-3
"""Step size of Adam where none is given."""
_INSIDE = "base_layer."
"""What `peft` puts into the names of a wrapped layer's own parameters."""


def clone_lora(base: Base, examples: Sequence[Example], rank: int, settings: CloneSettings) -> Voice:
    """Adapt layers by adapters of `rank`, and biases, to aligned sentences of one speaker.

    The voice holds the two factors of each adapter, rounded as its file holds them. Of the settings `modules` (empty:
    all), `steps`, `learning_rate`, `frames_per_step` and `seed` count. Raises UsageError where no module chosen is one
    that `peft` adapts, TtsMetaError where `peft` is not installed or the voice diverges.
    """
    chosen = adaptable_modules(base).select(settings.modules or ("*",))
    model = copy.deepcopy(base.acoustic)
    layers = _layers(model, chosen.parameters())
    if not layers:
        raise UsageError("LoRA adapts linear, convolutional and embedding layers; none of the modules chosen is one")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        _inject(model, layers, rank)
    inside = {name.replace(_INSIDE, ""): name for name, _ in model.named_parameters() if ".lora_" not in name}
    biases = [inside[name] for name in chosen.parameters() if base.acoustic.get_parameter(name).ndim == 1]
    moving = [*(name for name, _ in model.named_parameters() if ".lora_" in name), *biases]
    size = sum(model.get_parameter(name).numel() for name in moving)
    domain = Domain(
        model,
        acoustic_nll(model),
        ParameterLayout.from_modules(model, [Module("low rank", "LoRA", tuple(moving), size)]),
    )
    task = AcousticTask(base, examples, chosen.names).task(None, settings.frames_per_step, settings.seed)
    rate, steps = settings.learning_rate or LEARNING_RATE, NO_PRIOR_STEPS if settings.steps is None else settings.steps
    meta, prior = parameter_vector(model, domain.adapted), ShrinkagePrior.isotropic(domain.adapted, torch.inf)
    kept, _ = run_inner_loop(
        lambda params, step: domain.nll(params, torch.zeros(0), [task.at(step)]),
        meta,
        prior,
        Adam(),
        lambda step: rate,
        steps,
    )
    learned = domain.adapted.unflatten((meta + kept[-1])[0])
    with torch.no_grad():
        for name, value in learned.items():
            model.get_parameter(name).copy_(value)
        deltas = dict[str, Tensor]()
        for layer in layers:
            up, down = _factors(model.get_submodule(layer))
            deltas |= {f"{layer}.weight{UP}": up, f"{layer}.weight{DOWN}": down}
        for own, name in inside.items():
            if name in biases:
                deltas[own] = learned[name] - base.acoustic.get_parameter(own)
    return Voice(as_stored(deltas), base.hash, chosen.names, steps)


def _layers(model: nn.Module, parameters: Sequence[str]) -> list[str]:
    """Names of the layers whose matrices are among the parameters and which `peft` adapts."""
    kinds = (nn.Linear, nn.Conv1d, nn.Embedding)
    names = [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
    return [name for name in names if isinstance(model.get_submodule(name), kinds)]


def _inject(model: nn.Module, layers: Sequence[str], rank: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TtsMetaError("LoRA needs the package peft; install it with: pip install '.[lora]'") from error
    # A scale of one: alpha as large as the rank.
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(layers)), model)


def _factors(layer: Any) -> tuple[Tensor, Tensor]:
    """`(rows, rank)` and `(rank, columns)`, whose product is what the adapter of a layer adds to its matrix."""
    if "default" in layer.lora_embedding_A:
        return layer.lora_embedding_A["default"].detach().T, layer.lora_embedding_B["default"].detach().T
    down, up = (side["default"].weight.detach() for side in (layer.lora_A, layer.lora_B))
    return up.flatten(1), down.flatten(1)
