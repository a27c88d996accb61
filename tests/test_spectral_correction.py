"""The spectral correction of a voice: it removes the difference in mean spectrum, and changes one module."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import same_weights, similar_examples, tiny_source_filter
from torch import Tensor

from tts_meta.adapt import CloneSettings, clone_examples
from tts_meta.adapt.spectral_correction import CORRECTED_MODULE, spectral_difference
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base
from tts_meta.models.prosody import measure_prosody
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder

SETTINGS = CloneSettings(("speaker.*", "decoder"), steps=3, learning_rate=1e-3)


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    return similar_examples(base)


def loud_frames(model: AcousticModel, example: Example) -> tuple[Tensor, Tensor]:
    """The frames of a recording and of the same sentence by a model, without the quietest 30 %, `(T, M)` each."""
    prosody = measure_prosody(example.mel[None], example.durations[None], model.mel_config)[0]
    options = SynthesisOptions(postfilter=0.0)
    output = model.generate(example.tokens, durations=example.durations, prosody=prosody, options=options)
    level = example.mel.exp().sum(-1)
    loud = level >= level.quantile(0.3)
    return example.mel[loud], output[loud]


def mean_difference(model: AcousticModel, examples: list[Example]) -> Tensor:
    recordings, outputs = zip(*(loud_frames(model, example) for example in examples), strict=True)
    return torch.cat(recordings).mean(0) - torch.cat(outputs).mean(0)


def test_the_correction_removes_a_fraction_of_the_difference_in_mean_spectrum(
    base: Base, examples: list[Example]
) -> None:
    plain = mean_difference(clone_examples(base, examples, SETTINGS).apply(base), examples)
    assert float(plain.abs().mean()) > 0.1
    for fraction in (0.5, 1.0):
        voice = clone_examples(base, examples, replace(SETTINGS, spectral_correction=fraction))
        corrected = mean_difference(voice.apply(base), examples)
        torch.testing.assert_close(corrected, (1 - fraction) * plain, atol=5e-3, rtol=0.01)


def test_the_correction_changes_one_module_only(base: Base, examples: list[Example]) -> None:
    plain, corrected = (
        clone_examples(base, examples, replace(SETTINGS, spectral_correction=fraction)) for fraction in (0.0, 1.0)
    )
    assert CORRECTED_MODULE not in plain.deltas
    assert corrected.modules == (*plain.modules, CORRECTED_MODULE) and corrected.steps == plain.steps
    change = corrected.deltas.pop(CORRECTED_MODULE)
    assert same_weights(plain.deltas, corrected.deltas)
    difference = spectral_difference(plain.apply(base), examples)
    torch.testing.assert_close(change, difference, atol=1e-3, rtol=1e-3)


def test_a_module_that_adapts_keeps_its_change_and_gets_the_correction(base: Base, examples: list[Example]) -> None:
    settings = replace(SETTINGS, modules=("postnet.*",))
    plain, corrected = (
        clone_examples(base, examples, replace(settings, spectral_correction=fraction)) for fraction in (0.0, 1.0)
    )
    assert corrected.modules == plain.modules
    expected = plain.deltas[CORRECTED_MODULE] + spectral_difference(plain.apply(base), examples)
    torch.testing.assert_close(corrected.deltas[CORRECTED_MODULE], expected, atol=1e-3, rtol=1e-3)


def test_the_held_out_loss_is_that_of_the_corrected_voice(base: Base, examples: list[Example]) -> None:
    plain, corrected = (
        clone_examples(base, examples, replace(SETTINGS, hold_out=1, spectral_correction=fraction))
        for fraction in (0.0, 1.0)
    )
    assert corrected.scores["held_out_before"] == plain.scores["held_out_before"]
    assert corrected.scores["held_out_after"] != plain.scores["held_out_after"]


def test_the_mean_voice_can_be_corrected_without_any_step(base: Base, examples: list[Example]) -> None:
    voice = clone_examples(base, examples, CloneSettings(learner="mean-voice", spectral_correction=1.0))
    assert voice.modules == (CORRECTED_MODULE,) == tuple(voice.deltas) and voice.steps == 0
    assert float(mean_difference(voice.apply(base), examples).abs().max()) < 5e-3


def test_the_correction_needs_an_acoustic_module_and_a_fraction(base: Base, examples: list[Example]) -> None:
    vocoder = SourceFilterVocoder(tiny_source_filter())
    with pytest.raises(UsageError, match="spectral_correction is for the acoustic model"):
        clone_examples(base, examples, CloneSettings(("vocoder.*",), spectral_correction=1.0), vocoder=vocoder)
    for fraction in (-0.1, 1.1):
        with pytest.raises(UsageError, match="spectral_correction must be from 0 to 1"):
            clone_examples(base, examples, CloneSettings(spectral_correction=fraction))
