"""Miniature runs of meta-training for the programs of `recipes/discovery`, without meta-training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from recipes.discovery.effects import Effects
from tts_meta.adapt import adaptable_modules
from tts_meta.evaluate.score_files import write_lines
from tts_meta.models.pretrained import load_base

STARTS = {"runs/discovery/start_003": 0.003, "runs/discovery/start_03": 0.03, "runs/discovery/start_3": 0.3}
"""Folders of the documented commands, and their starts."""
SIZES = ("rank=2", "support=1", "query=1", "settings.inner_steps=2", "min_seconds=0.1", "cache=runs/cache")


def write_runs(base: Path) -> list[str]:
    """Write the runs of `STARTS` below the working folder; return the names of the modules of the base."""
    names = list(adaptable_modules(load_base(base)).names)
    for folder, start in STARTS.items():
        settings = {"variance": start**2, "variance_lr": 0.2, "hyperprior": "half-cauchy", "hyperprior_scale": 0.01}
        trainer = {"outer_lr_final_fraction": 0.1}
        config = {"settings": settings, "trainer": trainer, "meta_steps": 6, "seed": 0}
        training = Path(folder) / "training"
        training.mkdir(parents=True, exist_ok=True)
        (Path(folder) / "config.json").write_text(json.dumps(config))
        sigmas = {name: [start * 0.9**step for step in range(1, 7)] for name in names}
        (training / "state.json").write_text(json.dumps({"sigmas": sigmas}))
        save_file({"model.other": torch.zeros(1)}, training / "tensors.safetensors")
    return names


def write_effects(path: Path, modules: Sequence[str]) -> None:
    """Write effects of the runs of `STARTS`, in which the first module matters."""
    undone = {name: [5.5 if name == modules[0] else 5.0] for name in modules}
    effects = [Effects(start, "", ["ls1580"], [6.0], [5.0], undone, [5.0], {}) for start in STARTS.values()]
    write_lines(path, map(asdict, effects))


def small_settings(base: str) -> list[str]:
    """Return arguments that make a program of a recipe of meta-training small."""
    sets = [part for change in (f"base={base}", *SIZES) for part in ("--set", change)]
    return ["--speakers", "ls1580", "--output", "runs", *sets]
