"""Cloning by low-rank adapters (LoRA, Hu et al. 2022), a rival of the modules that shrinkage finds.

The adapters are those of the library `peft` (extra `lora`), which knows linear, convolutional and embedding layers and
no recurrent ones; biases adapt beside them. The likelihood, what each step sees and Adam are those of `clone.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_meta.adapt.clone import FREE_STEPS, CloneSettings
from tts_meta.adapt.likelihood import SpeakerSentences, acoustic_nll, adaptable
from tts_meta.adapt.voice import Voice
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file, write_tensors
from tts_meta.meta import Adam, Layout, Problem, ShrinkagePrior, solve
from tts_meta.meta.parameters import parameters_of
from tts_meta.models.base import Base
from tts_meta.models.partition import Module

LORA_VERSION = 1
"""Version of how LoRA adapts. Increase it when the same recordings and settings would give another voice."""
LEARNING_RATE = 1e-3
"""Step size of Adam where none is given."""
_INSIDE = "base_layer."
"""What `peft` puts into the names of a wrapped layer's own parameters."""


@dataclass(frozen=True)
class LoraVoice:
    """A voice with the adapters multiplied out, and the adapters and biases themselves, by `peft`'s names."""

    voice: Voice
    adapters: dict[str, Tensor]

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        return sum(value.numel() for value in self.adapters.values())

    def save(self, path: str | Path) -> None:
        """Write the adapters in half precision: what such a voice would take on disk."""
        with atomic_file(path) as temporary:
            write_tensors(temporary, {name: value.half() for name, value in self.adapters.items()}, {})


def clone_lora(base: Base, examples: Sequence[Example], rank: int, settings: CloneSettings) -> LoraVoice:
    """Adapt layers by adapters of `rank`, and biases, to aligned sentences of one speaker.

    Of the settings `modules` (empty: all), `steps`, `learning_rate`, `frames_per_step` and `seed` count. Raises
    UsageError where no module chosen is one that `peft` adapts, TtsMetaError where `peft` is not installed.
    """
    chosen = adaptable(base).select(settings.modules or ("*",))
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
    problem = Problem(
        model,
        acoustic_nll(model),
        Layout.of(model, [Module("low rank", "LoRA", tuple(moving), size)]),
        Layout.of(model, ()),
    )
    task = SpeakerSentences(base, examples, chosen.names).task(None, settings.frames_per_step, settings.seed)
    rate, steps = settings.learning_rate or LEARNING_RATE, FREE_STEPS if settings.steps is None else settings.steps
    meta, prior = parameters_of(model, problem.adapted), ShrinkagePrior.isotropic(problem.adapted, torch.inf)
    kept, _ = solve(
        lambda params, step: problem.nll(params, torch.zeros(0), [task.at(step)]),
        meta,
        prior,
        Adam(),
        lambda step: rate,
        steps,
    )
    learned = problem.adapted.unflatten((meta + kept[-1])[0])
    with torch.no_grad():
        for name, value in learned.items():
            model.get_parameter(name).copy_(value)
        deltas = {f"{layer}.weight": _product(model.get_submodule(layer)) for layer in layers}
        for own, name in inside.items():
            if name in biases:
                deltas[own] = learned[name] - base.acoustic.get_parameter(own)
    return LoraVoice(Voice(deltas, base.hash, chosen.names, steps), learned)


def _layers(model: nn.Module, parameters: Sequence[str]) -> list[str]:
    """Names of the layers whose matrices are among the parameters and which `peft` adapts."""
    kinds = (nn.Linear, nn.Conv1d, nn.Embedding)
    names = [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
    return [name for name in names if isinstance(model.get_submodule(name), kinds)]


def _inject(model: nn.Module, layers: Sequence[str], rank: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TtsMetaError("LoRA needs the library peft: pip install 'tts_meta[lora]'") from error
    # A scale of one: alpha as large as the rank.
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(layers)), model)


def _product(layer: Any) -> Tensor:
    """What the adapter of a layer adds to its matrix."""
    return layer.get_delta_weight("default").detach()
