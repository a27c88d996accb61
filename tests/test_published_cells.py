"""The recipes of the few-shot benchmark are such as its code takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts_meta.config import load_config, names_in
from tts_meta.evaluate.few_shot import FewShotBenchmark
from tts_meta.models.base import load_base
from tts_meta.models.vocoder import load_vocoder

FOLDER = Path(__file__).resolve().parents[1] / "recipes" / "few_shot"
RECIPES = sorted(path.name for path in FOLDER.glob("*.yaml") if "learners" in names_in(path))


def test_there_are_recipes() -> None:
    assert {"ten.yaml", "benchmark.yaml", "presets.yaml"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_learner_of_a_recipe_uses_all_that_it_is_given(name: str) -> None:
    config = load_config(FOLDER / name, FewShotBenchmark)
    base, vocoder = load_base(), load_vocoder(config.vocoder)
    for learner, settings in config.learners.items():
        # Bases of meta-trained starts are made by a script; whatever they are, settings go together or not.
        own = settings.model_copy(update={"base": None, "prior": None})
        own.check(learner, own.seen(base), vocoder)
