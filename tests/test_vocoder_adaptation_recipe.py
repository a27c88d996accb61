"""Is a voice in the vocoder? What the recipe measures, where it is, and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import random_example, tiny_source_filter, tone_sentence

from recipes.librispeech_mini import sound as recipe
from tts_meta.adapt import CloneSettings
from tts_meta.corpus import Example
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder, load_source_filter, save_source_filter


def sentences(base: Base, shift: float, count: int) -> list[Example]:
    """Of a speaker whose sound is as that of the tiny vocoder, louder by `shift` in every band."""
    generator = tiny_source_filter()
    with torch.no_grad():
        generator.net.output.bias.add_(shift)
    vocoder = SourceFilterVocoder(generator)
    made = [random_example(base, tone_sentence(seed, words=12), seed, "new") for seed in range(count)]
    return [replace(example, samples=vocoder(example.mel[None])[0]) for example in made]


def test_a_vocoder_comes_nearer_to_those_it_adapted_to_and_no_nearer_to_others(base: Base, tmp_path: Path) -> None:
    save_source_filter(tiny_source_filter(), tmp_path / "v", {})
    light = SourceFilterVocoder(load_source_filter(tmp_path / "v"))
    loud, soft = (sentences(base, shift, 5) for shift in (0.7, -0.7))
    speakers = {"loud": (loud[:3], loud[3:]), "soft": (soft[:3], soft[3:])}
    settings = CloneSettings(modules=("vocoder.*",), vocoder_steps=20, vocoder_learning_rate=1e-2, crops_per_step=4)
    made = recipe.adapted(base, light, speakers, settings)
    found = recipe.measure(made, speakers, 3)
    assert made[""] is light and {len(values) for values in found.values()} == {3}
    assert found["", "loud"] == recipe.distances(light, loud[3:], 3)
    assert recipe.change(found, own=True).high < -5 and recipe.change(found, own=False).low > 5


def test_changes_are_percent_of_the_same_draws() -> None:
    found = {("", "a"): [1.0, 2.0], ("", "b"): [4.0, 4.0]}
    found |= {("a", "a"): [0.9, 1.8], ("b", "b"): [2.8, 2.8], ("a", "b"): [4.4, 4.4], ("b", "a"): [1.3, 2.6]}
    assert recipe.change(found, own=True).mean == pytest.approx(-20)
    assert recipe.change(found, own=False).mean == pytest.approx(20)


def test_modules_are_told_in_units_of_their_weights_strongest_first() -> None:
    light, moved = SourceFilterVocoder(tiny_source_filter()), SourceFilterVocoder(tiny_source_filter())
    weights = dict(light.generator.named_parameters())["net.output.weight"]
    size = float(weights.square().mean().sqrt())
    with torch.no_grad():
        moved.generator.net.output.weight.add_(size / 2)
    variances = {"vocoder.net.output.weight": size**2 / 100, "vocoder.net.input.weight": 1e-12}
    light.generator.prior = ModulePrior(variances, "", {})
    rows = recipe.modules({"": light, "a": moved})
    assert rows[0][0] == "vocoder.net.output.weight" and rows[0][3:] == ["0.100", "0.5000"]
    assert rows[1][0] == "vocoder.net.input.weight" and rows[1][4] == "0.0000"
