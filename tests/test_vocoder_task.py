"""Adaptation of the vocoder: the likelihood of audio given mels, the modules that adapt, and the voice file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import error_line
from helpers import random_example, same_weights, tiny_source_filter, tone_sentence

from tts_meta.adapt import (
    CloneProgress,
    CloneSettings,
    VocoderTask,
    Voice,
    adaptable_vocoder_modules,
    clone_examples,
    vocoder_nll,
)
from tts_meta.audio.mel import MelConfig
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Task
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.source_filter import EDGE_FRAMES, SourceFilterGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.models.vocoders.spectral_loss import spectra, spectral_distance
from tts_meta.models.vocoders.vocoder import Vocoder
from tts_meta.synth import speak

HOP = MelConfig().hop
FEW = CloneSettings(modules=("vocoder.*",), vocoder_steps=30, vocoder_learning_rate=1e-2, crops_per_step=4)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> SourceFilterVocoder:
    """A vocoder loaded from a folder, which has a hash."""
    folder = tmp_path_factory.mktemp("light") / "v"
    save_source_filter(tiny_source_filter(), folder, {})
    return SourceFilterVocoder(load_source_filter(folder))


@pytest.fixture(scope="module")
def examples(base: Base, light: SourceFilterVocoder) -> list[Example]:
    """Five sentences with the audio of another vocoder, so that adaptation can lower the loss."""
    louder = tiny_source_filter()
    with torch.no_grad():
        louder.net.output.bias.add_(0.7)
    vocoder = SourceFilterVocoder(louder)
    made = [random_example(base, tone_sentence(seed, words=12), seed, "new") for seed in range(5)]
    return [replace(example, samples=vocoder(example.mel[None])[0]) for example in made]


def clone(base: Base, examples: list[Example], vocoder: Vocoder, settings: CloneSettings = FEW) -> Voice:
    return clone_examples(base, examples, settings, vocoder=vocoder)


def test_adaptation_lowers_the_distance_of_held_out_audio(base: Base, examples: list[Example], light) -> None:
    reports: list[CloneProgress] = []
    before = {name: value.clone() for name, value in light.generator.state_dict().items()}
    voice = clone_examples(base, examples, replace(FEW, hold_out=1), reports.append, vocoder=light)
    assert voice.scores["vocoder_held_out_after"] < 0.8 * voice.scores["vocoder_held_out_before"]
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert [(progress.model, progress.step, progress.steps) for progress in reports] == [
        ("vocoder", step, 30) for step in range(1, 31)
    ]
    assert reports[-1].held_out == pytest.approx(voice.scores["vocoder_held_out_after"], rel=0.05)
    assert voice.scores["vocoder_steps"] == 30 and "held_out_after" not in voice.scores
    assert voice.vocoder_hash == light.generator.hash != ""
    assert same_weights(light.generator.state_dict(), before), "the vocoder itself does not change"
    assert same_weights(voice.apply(base).state_dict(), base.acoustic.state_dict()), (
        "no module of the acoustic model adapts"
    )


def test_the_pitch_predictor_does_not_adapt(base: Base, examples: list[Example], light: SourceFilterVocoder) -> None:
    voice = clone(base, examples, light, replace(FEW, vocoder_steps=1))
    assert voice.modules == adaptable_vocoder_modules(light).names
    adapted = {name.removeprefix("vocoder.") for name in voice.deltas}
    assert adapted == {name for name, _ in light.generator.named_parameters() if not name.startswith("pitch.")}
    assert adaptable_vocoder_modules(GriffinLim()).names == ()


def test_both_models_adapt_as_they_would_separately(
    base: Base, examples: list[Example], light: SourceFilterVocoder
) -> None:
    few = replace(FEW, steps=3, vocoder_steps=3)
    both = clone(base, examples, light, replace(few, modules=("*", "vocoder.net.output")))
    acoustic = clone(base, examples, light, replace(few, modules=("*",)))
    vocoder = clone(base, examples, light, replace(few, modules=("vocoder.net.output",)))
    assert same_weights(both.deltas, acoustic.deltas | vocoder.deltas)
    assert both.modules == acoustic.modules + vocoder.modules and acoustic.vocoder_hash == ""
    assert both.scores == acoustic.scores | vocoder.scores


def test_the_same_seed_gives_the_same_vocoder_deltas(
    base: Base, examples: list[Example], light: SourceFilterVocoder
) -> None:
    few = replace(FEW, vocoder_steps=3)
    one = clone(base, examples, light, few)
    torch.randn(7)
    state = torch.get_rng_state()
    two = clone(base, examples, light, few)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state does not change"
    assert same_weights(one.deltas, two.deltas)
    assert not same_weights(one.deltas, clone(base, examples, light, replace(few, seed=1)).deltas)


def test_the_loss_is_the_energy_distance_of_two_generated_versions_times_the_samples(examples: list[Example]) -> None:
    generator = tiny_source_filter()
    task = VocoderTask(generator, examples)
    crops = task.task(3, seed=1).at(0)
    assert crops.weight == task.samples == sum(len(example.mel) for example in examples) * HOP
    windows = [example.samples.unfold(0, 64 * HOP, HOP) for example in examples if example.samples is not None]
    assert any(torch.equal(crops.samples[0], window) for window in torch.cat(windows))
    assert crops.phase.shape == (3,) and crops.noises.shape == (2, *crops.samples.shape)
    loss = float(vocoder_nll(generator)(generator, crops).detach())
    edge = EDGE_FRAMES * HOP
    with torch.no_grad():
        one, other = (
            spectra(version[:, edge:-edge]) for version in generator(crops.mel, crops.pitch, crops.phase, crops.noises)
        )
    real = spectra(crops.samples[:, edge:-edge])
    distance = spectral_distance(real, one) + spectral_distance(real, other) - 0.2 * spectral_distance(one, other)
    assert loss == pytest.approx(float(distance) * task.samples, rel=1e-5)


def test_recordings_shorter_than_a_crop_are_used_if_all_are_short(examples: list[Example]) -> None:
    generator = tiny_source_filter()
    short = [replace(example, mel=example.mel[:30], samples=example.samples[: 30 * HOP]) for example in examples]  # type: ignore[reportOptionalSubscript]
    crops = VocoderTask(generator, short).task(2, seed=0).at(0)
    assert crops.mel.shape == (2, 30, 80) and crops.samples.shape == (2, 30 * HOP)
    assert bool(vocoder_nll(generator)(generator, crops).isfinite())
    shortest = [replace(example, mel=example.mel[:12], samples=example.samples[: 12 * HOP]) for example in examples]  # type: ignore[reportOptionalSubscript]
    assert "long enough to adapt the vocoder;" in error_line(lambda: VocoderTask(generator, shortest))


def test_each_step_draws_other_crops_that_depend_on_the_step_only(examples: list[Example]) -> None:
    task: Task = VocoderTask(tiny_source_filter(), examples).task(2, seed=3)
    first, second, again = task.at(0), task.at(1), task.at(0)
    assert torch.equal(first.samples, again.samples) and not torch.equal(first.samples, second.samples)


def test_a_voice_file_stores_the_vocoder_deltas(base: Base, examples: list[Example], light, tmp_path: Path) -> None:
    voice = clone(base, examples, light, replace(FEW, vocoder_steps=3))
    path = tmp_path / "new.voice.safetensors"
    voice.save(path)
    loaded = Voice.load(path)
    assert loaded.vocoder_hash == light.generator.hash and loaded.deltas.keys() == voice.deltas.keys()
    adapted = loaded.apply_vocoder(light)
    assert isinstance(adapted, SourceFilterVocoder) and adapted.name == light.name
    params = dict(light.generator.named_parameters())
    for name, value in adapted.generator.named_parameters():
        delta = loaded.deltas.get(f"vocoder.{name}")
        assert torch.equal(value, params[name] if delta is None else params[name] + delta), name


def test_another_vocoder_is_used_without_adaptation_and_with_a_notice(
    base: Base, examples: list[Example], light: SourceFilterVocoder
) -> None:
    voice = clone(base, examples, light, replace(FEW, vocoder_steps=1))
    for other in (GriffinLim(notice="metallic"), SourceFilterVocoder(tiny_source_filter(1), "light:other")):
        used, mel = voice.apply_vocoder(other, "ann"), examples[0].mel[None]
        assert f"ann adapts the vocoder {voice.vocoder_hash[:12]}; the vocoder {other.name} is another one" in str(
            used.notice
        )
        assert torch.equal(used(mel), other(mel))
        assert other.notice in (None, "metallic"), "the caller's object does not change"
    assert str(voice.apply_vocoder(GriffinLim(notice="metallic")).notice).startswith("metallic; the voice")
    unchanged = replace(voice, deltas={}, vocoder_hash="")
    assert unchanged.apply_vocoder(light) is light
    broken = replace(voice, deltas=voice.deltas | {"vocoder.net.nowhere": torch.zeros(1)})
    assert "does not fit the vocoder: net.nowhere" in error_line(lambda: broken.apply_vocoder(light))


def test_speaking_uses_the_vocoder_of_the_voice(
    base: Base, examples: list[Example], light: SourceFilterVocoder, tmp_path
) -> None:
    save_source_filter(light.generator, tmp_path / "v", {})
    voice = clone(base, examples, light, replace(FEW, vocoder_steps=20))
    mean, cloned = (speak(speaker, "abc de.", base=base, vocoder=tmp_path / "v") for speaker in ("base", voice))
    assert torch.equal(mean.mels[0], cloned.mels[0]), "the acoustic model is the same"
    assert abs(mean.samples - cloned.samples).max() > 1e-3
    adapted = voice.apply_vocoder(light)
    assert torch.equal(torch.from_numpy(cloned.samples), adapted(cloned.mels[0][None])[0])


def test_a_vocoder_that_cannot_adapt_is_refused_in_one_line(
    base: Base, examples: list[Example], light: SourceFilterVocoder
) -> None:
    assert "only the light vocoder has modules" in error_line(lambda: clone(base, examples, GriffinLim()), UsageError)
    silent = [replace(example, samples=None) for example in examples]
    assert "give examples with samples" in error_line(lambda: clone(base, silent, light), UsageError)
    unknown = replace(FEW, modules=("vocoder.pitch.*",))
    assert "no module matches 'vocoder.pitch.*'; modules: vocoder.net.input" in error_line(
        lambda: clone(base, examples, light, unknown), UsageError
    )
    other = SourceFilterVocoder(SourceFilterGenerator(light.generator.config, MelConfig(hop=300)))
    message = error_line(lambda: clone(base, examples, other), TtsMetaError)
    assert "takes mels with hop 300, and the base has hop 256" in message
