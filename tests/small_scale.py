"""The miniature run of the program that measures the stages of the recipes of published corpora."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import tiny_source_filter, tone_sentence

from recipes.librispeech_mini import throughput


def small_measurements(program: ModuleType, patch: pytest.MonkeyPatch) -> list[str]:
    """Make the program small, and return its arguments."""
    small = {"ROUNDS": 1, "SENTENCES": 2, "CROPS": 1, "ACOUSTIC_FRAMES": (500, 1000), "METRICS": ("similarity",)}
    small |= {"TEXT": tone_sentence(1, 8), "SENTENCE": 300, "SEGMENT": 150}
    for name, value in small.items():
        patch.setattr(program, name, value)
    patch.setattr(throughput, "FRAMES", 1000)
    load_config = program.load_config

    def load_small(path: Path, section: type[Any], changes: Sequence[str]) -> Any:
        few = ["support=1", "query=1", "rank=2", "settings.inner_steps=2", "settings.cg_max_iters=1"]
        return load_config(path, section, [*changes, *few])

    patch.setattr(program, "load_config", load_small)
    patch.setattr(program, "SourceFilterConfig", lambda: tiny_source_filter().config)
    return ["--output", "runs/scale_measurements.json"]
