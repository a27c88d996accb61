"""Cloning that adapts the vocoder: the likelihood of sound given mels, the modules that move, the voice file."""

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
    """A vocoder that was read from a folder, and so has a hash."""
    folder = tmp_path_factory.mktemp("light") / "v"
    save_source_filter(tiny_source_filter(), folder, {})
    return SourceFilterVocoder(load_source_filter(folder))


@pytest.fixture(scope="module")
def examples(base: Base, light: SourceFilterVocoder) -> list[Example]:
    """Five sentences that sound as another vocoder makes them: there is something to learn."""
    louder = tiny_source_filter()
    with torch.no_grad():
        louder.net.output.bias.add_(0.7)
    vocoder = SourceFilterVocoder(louder)
    made = [random_example(base, tone_sentence(seed, words=12), seed, "new") for seed in range(5)]
    return [replace(example, samples=vocoder(example.mel[None])[0]) for example in made]


def clone(base: Base, examples: list[Example], vocoder: Vocoder, settings: CloneSettings = FEW) -> Voice:
    return clone_examples(base, examples, settings, vocoder=vocoder)


def test_the_vocoder_comes_nearer_to_sound_it_never_adapted_on(base: Base, examples: list[Example], light) -> None:
    seen: list[CloneProgress] = []
    before = {name: value.clone() for name, value in light.generator.state_dict().items()}
    voice = clone_examples(base, examples, replace(FEW, hold_out=1), seen.append, vocoder=light)
    assert voice.scores["vocoder_held_out_after"] < 0.8 * voice.scores["vocoder_held_out_before"]
    assert seen[-1].loss < 0.8 * seen[0].loss
    assert [(one.model, one.step, one.steps) for one in seen] == [("vocoder", step, 30) for step in range(1, 31)]
    assert seen[-1].held_out == pytest.approx(voice.scores["vocoder_held_out_after"], rel=0.05)
    assert voice.scores["vocoder_steps"] == 30 and "held_out_after" not in voice.scores
    assert voice.vocoder_hash == light.generator.hash != ""
    assert same_weights(light.generator.state_dict(), before), "the vocoder stays as it is"
    assert same_weights(voice.apply(base).state_dict(), base.acoustic.state_dict()), "no module of the acoustic model"


def test_pitch_is_not_among_the_modules_that_adapt(
    base: Base, examples: list[Example], light: SourceFilterVocoder
) -> None:
    voice = clone(base, examples, light, replace(FEW, vocoder_steps=1))
    assert voice.modules == adaptable_vocoder_modules(light).names
    held = {name.removeprefix("vocoder.") for name in voice.deltas}
    assert held == {name for name, _ in light.generator.named_parameters() if not name.startswith("pitch.")}
    assert adaptable_vocoder_modules(GriffinLim()).names == ()


def test_both_models_adapt_as_each_alone(base: Base, examples: list[Example], light: SourceFilterVocoder) -> None:
    few = replace(FEW, steps=3, vocoder_steps=3)
    both = clone(base, examples, light, replace(few, modules=("*", "vocoder.net.output")))
    speech = clone(base, examples, light, replace(few, modules=("*",)))
    sound = clone(base, examples, light, replace(few, modules=("vocoder.net.output",)))
    assert same_weights(both.deltas, speech.deltas | sound.deltas)
    assert both.modules == speech.modules + sound.modules and speech.vocoder_hash == ""
    assert both.scores == speech.scores | sound.scores


def test_the_same_seed_gives_the_same_sound(base: Base, examples: list[Example], light: SourceFilterVocoder) -> None:
    few = replace(FEW, vocoder_steps=3)
    one = clone(base, examples, light, few)
    torch.randn(7)
    state = torch.get_rng_state()
    two = clone(base, examples, light, few)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state is not touched"
    assert same_weights(one.deltas, two.deltas)
    assert not same_weights(one.deltas, clone(base, examples, light, replace(few, seed=1)).deltas)


def test_the_loss_is_the_energy_distance_of_two_makings_for_each_sample(examples: list[Example]) -> None:
    generator = tiny_source_filter()
    sound = VocoderTask(generator, examples)
    crops = sound.task(3, seed=1).at(0)
    assert crops.weight == sound.samples == sum(len(example.mel) for example in examples) * HOP
    windows = [example.samples.unfold(0, 64 * HOP, HOP) for example in examples if example.samples is not None]
    assert any(torch.equal(crops.samples[0], window) for window in torch.cat(windows))
    assert crops.phase.shape == (3,) and crops.noises.shape == (2, *crops.samples.shape)
    loss = float(vocoder_nll(generator)(generator, crops).detach())
    edge = EDGE_FRAMES * HOP
    with torch.no_grad():
        one, other = (
            spectra(made[:, edge:-edge]) for made in generator(crops.mel, crops.pitch, crops.phase, crops.noises)
        )
    real = spectra(crops.samples[:, edge:-edge])
    apart = spectral_distance(real, one) + spectral_distance(real, other) - 0.2 * spectral_distance(one, other)
    assert loss == pytest.approx(float(apart) * sound.samples, rel=1e-5)


def test_recordings_shorter_than_a_crop_are_heard_where_all_are(examples: list[Example]) -> None:
    generator = tiny_source_filter()
    short = [replace(one, mel=one.mel[:30], samples=one.samples[: 30 * HOP]) for one in examples]  # type: ignore[reportOptionalSubscript]
    crops = VocoderTask(generator, short).task(2, seed=0).at(0)
    assert crops.mel.shape == (2, 30, 80) and crops.samples.shape == (2, 30 * HOP)
    assert bool(vocoder_nll(generator)(generator, crops).isfinite())
    shortest = [replace(one, mel=one.mel[:12], samples=one.samples[: 12 * HOP]) for one in examples]  # type: ignore[reportOptionalSubscript]
    assert "long enough to adapt the vocoder;" in error_line(lambda: VocoderTask(generator, shortest))


def test_crops_are_drawn_anew_each_step_and_alike_from_the_first(examples: list[Example]) -> None:
    task: Task = VocoderTask(tiny_source_filter(), examples).task(2, seed=3)
    first, second, again = task.at(0), task.at(1), task.at(0)
    assert torch.equal(first.samples, again.samples) and not torch.equal(first.samples, second.samples)


def test_a_voice_keeps_its_vocoder_through_its_file(base: Base, examples: list[Example], light, tmp_path: Path) -> None:
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


def test_another_vocoder_stays_as_it_is_and_says_so(
    base: Base, examples: list[Example], light: SourceFilterVocoder
) -> None:
    voice = clone(base, examples, light, replace(FEW, vocoder_steps=1))
    for other in (GriffinLim(notice="metallic"), SourceFilterVocoder(tiny_source_filter(1), "light:other")):
        used, mel = voice.apply_vocoder(other, "ann"), examples[0].mel[None]
        assert f"ann adapts the vocoder {voice.vocoder_hash[:12]}; the vocoder {other.name} is another one" in str(
            used.notice
        )
        assert torch.equal(used(mel), other(mel))
        assert other.notice in (None, "metallic"), "the caller's own is not touched"
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
    mean, cloned = (speak(who, "abc de.", base=base, vocoder=tmp_path / "v") for who in ("base", voice))
    assert torch.equal(mean.mels[0], cloned.mels[0]), "the acoustic model is the same"
    assert abs(mean.samples - cloned.samples).max() > 1e-3
    adapted = voice.apply_vocoder(light)
    assert torch.equal(torch.from_numpy(cloned.samples), adapted(cloned.mels[0][None])[0])


def test_what_cannot_adapt_is_one_line(base: Base, examples: list[Example], light: SourceFilterVocoder) -> None:
    assert "only the light vocoder has modules" in error_line(lambda: clone(base, examples, GriffinLim()), UsageError)
    silent = [replace(example, samples=None) for example in examples]
    assert "give examples with samples" in error_line(lambda: clone(base, silent, light), UsageError)
    unknown = replace(FEW, modules=("vocoder.pitch.*",))
    assert "no module matches 'vocoder.pitch.*'; modules: vocoder.net.input" in error_line(
        lambda: clone(base, examples, light, unknown), UsageError
    )
    other = SourceFilterVocoder(SourceFilterGenerator(light.generator.config, MelConfig(hop=300)))
    said = error_line(lambda: clone(base, examples, other), TtsMetaError)
    assert "takes mels of hop 300, and the base gives hop 256" in said
