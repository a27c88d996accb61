"""A corpus, a base and recipes for tests of meta-training."""

from __future__ import annotations

from pathlib import Path

from helpers import tiny_base, tiny_source_filter, tone_corpus

from tts_meta.config import parse_config
from tts_meta.models.pretrained import save_base
from tts_meta.models.vocoders.source_filter_weights import save_source_filter
from tts_meta.train.meta_train import MetaTrainConfig


def write_meta_corpus(folder: Path) -> Path:
    """Write a manifest of two speakers, an untrained base and an untrained vocoder without a prior; return `folder`."""
    tone_corpus(folder, utterances=8)
    save_base(tiny_base(), folder / "base")
    save_source_filter(tiny_source_filter(), folder / "vocoder", {"corpus": "tones"})
    return folder


def meta_recipe(corpus: Path, output: Path, **changes: object) -> MetaTrainConfig:
    """Return a recipe that meta-trains the base of `write_meta_corpus` for three steps in a second or two."""
    data = {
        "manifest": corpus / "manifest.jsonl",
        "output": output,
        "cache": corpus / "cache",
        "base": corpus / "base",
        "learner": "sigma-reptile",
        "settings": {"inner_solver": "adam", "inner_lr": 1e-3, "inner_steps": 3, "variance": 1e-3, "cg_max_iters": 3},
        "support": 2,
        "query": 1,
        "min_seconds": 0.1,
        "frames_per_step": 200,
        "meta_steps": 3,
        "save_every": 1,
    }
    return parse_config(data | changes, MetaTrainConfig, "recipe")


SHORT = {"inner_steps": 1, "inner_lr": 1e-6, "variance": 1e-3, "cg_max_iters": 1, "hessian": "difference"}
"""Learner settings of `short_meta_recipe`."""


def short_meta_recipe(corpus: Path, output: Path, **changes: object) -> MetaTrainConfig:
    """Return a recipe of one meta-step with one short inner step."""
    data = {"settings": SHORT, "frames_per_step": 60, "crops_per_step": 1, "meta_steps": 1, "save_every": 2}
    return meta_recipe(corpus, output, **data | changes)
