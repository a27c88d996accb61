"""A corpus, a base and recipes for tests of meta-training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_base, tiny_source_filter, tone_corpus
from torch import Tensor
from toy_domains import own_settings

from tts_meta.config import parse_config
from tts_meta.meta import LEARNERS, MetaTrainer, TrainerSettings
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
    """Return a recipe that meta-trains the base of `write_meta_corpus` for three steps in a second or two.

    The settings may be those of any learner and of the trainer; the recipe gets those that its learner uses.
    """
    data: dict[str, object] = {
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
    data |= changes
    values = data["settings"]
    assert isinstance(values, dict)
    if str(data["learner"]) in LEARNERS:
        data["settings"] = own_settings(LEARNERS[str(data["learner"])].Settings, values)
    data.setdefault("trainer", own_settings(TrainerSettings, values))
    return parse_config(data, MetaTrainConfig, "recipe")


TRAINABLE = [name for name, learner in LEARNERS.items() if learner.trainable]
"""Names of the learners that can be meta-trained."""


SHORT = {"inner_steps": 1, "inner_lr": 1e-6, "variance": 1e-3, "cg_max_iters": 1, "hessian": "difference"}
"""Learner settings of `short_meta_recipe`."""


def short_meta_recipe(corpus: Path, output: Path, **changes: object) -> MetaTrainConfig:
    """Return a recipe of one meta-step with one short inner step."""
    data = {"settings": SHORT, "frames_per_step": 60, "crops_per_step": 1, "meta_steps": 1, "save_every": 2}
    return meta_recipe(corpus, output, **data | changes)


def whole_and_resumed(
    run: Callable[[str], dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of an uninterrupted run, and of one that was stopped in its fourth meta-step and resumed.

    run: makes or continues the run in a folder of this name, and returns its tensors.
    """
    whole, steps, meta_step = run("whole"), list[Any](), MetaTrainer.step

    def interrupt(trainer: MetaTrainer, tasks: Sequence[Any]) -> Any:
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(meta_step(trainer, tasks))
        return steps[-1]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetaTrainer, "step", interrupt)
        run("stopped")
    return whole, run("stopped")
