"""The recipe that tests whether the vocoder learns a speaker, on two synthetic speakers and on numbers by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import random_example, tiny_source_filter, tone_sentence

from recipes.librispeech_mini import vocoder_adaptation as recipe
from tts_meta.adapt import CloneSettings
from tts_meta.corpus import Example
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter


def sentences(base: Base, gain: float, count: int) -> list[Example]:
    """Sentences of a speaker who sounds like the tiny vocoder, louder by `gain` (natural logarithm) in every band."""
    generator = tiny_source_filter()
    with torch.no_grad():
        generator.net.output.bias.add_(gain)
    vocoder = SourceFilterVocoder(generator)
    examples = [random_example(base, tone_sentence(seed, words=12), seed, "new") for seed in range(count)]
    return [replace(example, samples=vocoder(example.mel[None])[0]) for example in examples]


def test_an_adapted_vocoder_fits_its_own_speaker_better_and_the_other_one_worse(base: Base, tmp_path: Path) -> None:
    save_source_filter(tiny_source_filter(), tmp_path / "v", {})
    vocoder = SourceFilterVocoder(load_source_filter(tmp_path / "v"))
    loud, soft = (sentences(base, gain, 5) for gain in (0.7, -0.7))
    speakers = {"loud": (loud[:3], loud[3:]), "soft": (soft[:3], soft[3:])}
    settings = CloneSettings(modules=("vocoder.*",), vocoder_steps=20, vocoder_learning_rate=1e-2, crops_per_step=4)
    vocoders = recipe.adapt_to_each(base, vocoder, speakers, settings)
    measured = recipe.measure(vocoders, speakers, 3)
    assert vocoders[""] is vocoder and {len(values) for values in measured.values()} == {3}
    assert measured["", "loud"] == recipe.distances(vocoder, loud[3:], 3)
    assert recipe.change(measured, to_own_recordings=True).high < -5
    assert recipe.change(measured, to_own_recordings=False).low > 5


def test_changes_are_percentages_of_the_distance_on_the_same_draw() -> None:
    measured = {("", "a"): [1.0, 2.0], ("", "b"): [4.0, 4.0]}
    measured |= {("a", "a"): [0.9, 1.8], ("b", "b"): [2.8, 2.8], ("a", "b"): [4.4, 4.4], ("b", "a"): [1.3, 2.6]}
    assert recipe.change(measured, to_own_recordings=True).mean == pytest.approx(-20)
    assert recipe.change(measured, to_own_recordings=False).mean == pytest.approx(20)


def test_modules_are_listed_relative_to_their_weights_with_the_largest_sigma_first() -> None:
    vocoder, moved = SourceFilterVocoder(tiny_source_filter()), SourceFilterVocoder(tiny_source_filter())
    weights = dict(vocoder.generator.named_parameters())["net.output.weight"]
    size = float(weights.square().mean().sqrt())
    with torch.no_grad():
        moved.generator.net.output.weight.add_(size / 2)
    variances = {"vocoder.net.output.weight": size**2 / 100, "vocoder.net.input.weight": 1e-12}
    vocoder.generator.learner = SavedLearner.of_prior(ModulePrior(variances), "vocoder", "")
    rows = recipe.module_rows({"": vocoder, "a": moved})
    assert rows[0][0] == "vocoder.net.output.weight" and rows[0][3:] == ["0.100", "0.5000"]
    assert rows[1][0] == "vocoder.net.input.weight" and rows[1][4] == "0.0000"
