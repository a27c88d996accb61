"""Cloning from recordings or examples: the loss, held-out sentences, seeds, modules, and the voice on disk."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import write_recordings
from helpers import same_weights, similar_examples

from tts_meta.adapt import CloneProgress, CloneSettings, Voice, adaptable_modules, clone, clone_examples
from tts_meta.adapt.acoustic_task import ADAPTATION_DENSITY
from tts_meta.corpus import Example, collate
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base, load_base

FEW = CloneSettings(steps=30, learning_rate=3e-3)


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    return similar_examples(base)


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    return write_recordings(tmp_path, 4)


def nats_per_frame(base: Base, model: torch.nn.Module, example: Example) -> float:
    batch = collate([example], {"new": -1}, base.acoustic.reduction)
    return float(acoustic_loss(base.acoustic, model(batch), batch, ADAPTATION_DENSITY).nll / len(example.mel))


def test_cloning_lowers_the_loss_of_held_out_sentences(base: Base, examples: list[Example]) -> None:
    reports: list[CloneProgress] = []
    voice = clone_examples(base, examples, replace(FEW, hold_out=1), reports.append, consent="agreed")
    assert voice.base_hash == base.hash and voice.steps == 30 and voice.consent == "agreed"
    assert [progress.step for progress in reports] == list(range(1, 31))
    assert reports[-1].loss < reports[0].loss - 1
    assert voice.scores["sentences"] == 4
    assert voice.scores["held_out_after"] < voice.scores["held_out_before"] - 1
    assert voice.scores["held_out_before"] == pytest.approx(nats_per_frame(base, base.acoustic, examples[-1]), rel=1e-5)
    adapted = voice.apply(base)
    assert voice.scores["held_out_after"] == pytest.approx(nats_per_frame(base, adapted, examples[-1]), rel=1e-5)
    assert {progress.step for progress in reports if progress.held_out is not None} == {25, 30}
    # After the last step the voice is rounded to the precision of its file.
    assert reports[-1].held_out == pytest.approx(voice.scores["held_out_after"], rel=0.02)


def test_all_sentences_are_adapted_on_by_default(base: Base, examples: list[Example]) -> None:
    few, other = replace(FEW, steps=2), [*examples[:-1], replace(examples[-1], mel=examples[-1].mel + 3)]
    assert CloneSettings().hold_out == 0
    voices = [clone_examples(base, examples[:count], few) for count in range(1, 6)]
    for count, voice in enumerate(voices, 1):
        assert voice.scores["sentences"] == count and "held_out_after" not in voice.scores
        frames = sum(len(example.mel) for example in examples[:count])
        assert voice.scores["seconds"] == pytest.approx(frames * 256 / 22050, abs=0.05)
    assert not same_weights(voices[-1].deltas, clone_examples(base, other, few).deltas), "the last is adapted on"
    held = replace(few, hold_out=1)
    one, two = (clone_examples(base, sentences, held) for sentences in (examples, other))
    assert same_weights(one.deltas, two.deltas) and one.scores["sentences"] == 4
    assert same_weights(one.deltas, clone_examples(base, examples[:4], few).deltas), (
        "a held-out sentence changes nothing else"
    )
    assert one.scores["held_out_after"] != two.scores["held_out_after"]


@pytest.mark.parametrize("hold_out", [5, 6])
def test_holding_out_all_sentences_is_refused(base: Base, examples: list[Example], hold_out: int) -> None:
    with pytest.raises(UsageError, match=f"{hold_out} of 5 sentences cannot be held out; hold out 0 to 4"):
        clone_examples(base, examples, replace(FEW, hold_out=hold_out))


@pytest.mark.parametrize("rank", [0, 2])
def test_a_voice_in_memory_equals_the_voice_on_disk(
    base: Base, examples: list[Example], rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tts_meta.adapt.quantization", "tts_meta.adapt.voice"):
        monkeypatch.setattr(importlib.import_module(module), "should_quantize", lambda matrix: matrix.ndim > 1)
    voice = clone_examples(base, examples, replace(FEW, steps=3, rank=rank, hold_out=1))
    voice.save(tmp_path / "a.voice.safetensors")
    loaded = Voice.load(tmp_path / "a.voice.safetensors")
    assert loaded.deltas.keys() == voice.deltas.keys()
    assert any(name.endswith(":up") for name in voice.deltas) == bool(rank)
    for name, delta in voice.deltas.items():
        assert torch.equal(loaded.deltas[name].view(torch.int32), delta.view(torch.int32)), name
    assert loaded.scores == voice.scores
    loss = nats_per_frame(base, loaded.apply(base), examples[-1])
    assert voice.scores["held_out_after"] == pytest.approx(loss, rel=1e-5), "scores belong to the saved voice"
    loaded.save(tmp_path / "b.voice.safetensors")
    assert same_weights(Voice.load(tmp_path / "b.voice.safetensors").deltas, voice.deltas)


def test_the_voice_depends_on_the_seed_and_not_on_earlier_draws(base: Base, examples: list[Example]) -> None:
    few = replace(FEW, steps=4, frames_per_step=60)
    one = clone_examples(base, examples, few)
    torch.randn(7)
    state = torch.get_rng_state()
    two = clone_examples(base, examples, few)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state does not change"
    assert same_weights(one.deltas, two.deltas)
    assert not same_weights(one.deltas, clone_examples(base, examples, replace(few, seed=1)).deltas)


def test_only_the_chosen_modules_are_in_the_voice(base: Base, examples: list[Example]) -> None:
    voice = clone_examples(base, examples, replace(FEW, steps=2, modules=("speaker.mean", "postnet.*")))
    chosen = adaptable_modules(base).select(["speaker.mean", "postnet.*"])
    assert voice.modules == chosen.names and sorted(voice.deltas) == sorted(chosen.parameters())


def test_cloning_does_not_change_the_base(base: Base, examples: list[Example]) -> None:
    before = {name: value.clone() for name, value in base.acoustic.state_dict().items()}
    clone_examples(base, examples, replace(FEW, steps=2))
    assert same_weights(base.acoustic.state_dict(), before)
    assert not any(module.training for module in base.acoustic.modules())
    assert not any(parameter.requires_grad for parameter in base.acoustic.parameters())


def test_the_mean_voice_is_the_base(base: Base, examples: list[Example]) -> None:
    voice = clone_examples(base, examples, CloneSettings(learner="mean-voice"))
    assert voice.deltas == {} and voice.modules == () and voice.steps == 0
    held = clone_examples(base, examples, CloneSettings(learner="mean-voice", hold_out=1))
    assert held.scores["held_out_after"] == held.scores["held_out_before"] > 0


def test_a_budget_of_no_steps_is_refused(base: Base, examples: list[Example]) -> None:
    with pytest.raises(UsageError, match="a budget of 0 steps does not adapt; give 1 or more steps"):
        clone_examples(base, examples, replace(FEW, steps=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modules": ("decoder.*", "vocode.*")}, r"no module matches 'vocode\.\*'; modules: speaker\.mean, "),
        ({"modules": ("speaker.offsets",)}, "no module matches 'speaker.offsets'"),
        ({"steps": -1}, "^steps must be from 0 to .*, not -1"),
        ({"vocoder_steps": -1}, "vocoder_steps must be from 0 to .*, not -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate must be from 0 to .*, not nan"),
    ],
)
def test_the_error_for_a_wrong_setting_names_it(
    base: Base, examples: list[Example], change: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        clone_examples(base, examples, replace(FEW, **change))


def test_texts_come_from_files_next_to_the_recordings_or_from_arguments(base: Base, recordings: list[Path]) -> None:
    voice = clone(recordings, base=base, settings=replace(FEW, steps=2), warn=lambda text: None)
    assert voice.scores["sentences"] == 4 and voice.scores["seconds"] > 1
    texts = [path.with_suffix(".txt").read_text().strip() for path in recordings]
    few, loaded = replace(FEW, steps=2), load_base(base.folder)
    given = clone(recordings, transcripts=texts, base=base, settings=few, warn=lambda text: None)
    assert same_weights(given.deltas, voice.deltas) and any(bool(delta.any()) for delta in voice.deltas.values())
    by_folder, by_object = (
        clone(recordings, base=given_base, settings=few, warn=lambda text: None) for given_base in (base.folder, loaded)
    )
    assert (
        same_weights(by_folder.deltas, by_object.deltas)
        and by_folder.base_hash == by_object.base_hash == voice.base_hash
    )


def test_the_number_of_texts_must_match_the_recordings(base: Base, recordings: list[Path]) -> None:
    with pytest.raises(UsageError, match="4 recordings but 1 transcripts; give one text for each recording"):
        clone(recordings, transcripts=["abc"], base=base)
    with pytest.raises(TtsMetaError, match="no recordings given"):
        clone([], base=base)


def test_an_unknown_character_is_reported_with_its_sentence(base: Base, recordings: list[Path]) -> None:
    with pytest.raises(TtsMetaError, match="unknown symbol 'x' in \"abc xyz\""):
        clone(recordings[:1], transcripts=["abc xyz"], base=base)


def test_the_dropout_of_the_prenet_depends_on_the_seed(base: Base, examples: list[Example]) -> None:
    one, two = (clone_examples(base, examples[:1], replace(FEW, steps=3, seed=seed)) for seed in (0, 1))
    assert not same_weights(one.deltas, two.deltas), "there is only one sentence to draw"


@pytest.mark.parametrize("frames_per_step", [1, 10**6])
def test_the_loss_of_a_step_estimates_the_sum_over_all_recordings(
    base: Base, examples: list[Example], frames_per_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base.acoustic.decoder, "dropout", 0.0)
    losses: list[float] = []

    size = 3 * len(examples[0].mel)
    settings = replace(FEW, steps=1, frames_per_step=frames_per_step, history_mixing=0.0)
    clone_examples(base, [examples[0]] * 3, settings, lambda progress: losses.append(progress.loss * size))
    batch = collate([examples[0]], {"new": -1}, base.acoustic.reduction)
    nll = acoustic_loss(base.acoustic, base.acoustic(batch), batch, ADAPTATION_DENSITY).nll
    assert losses[0] == pytest.approx(3 * float(nll), rel=1e-5)


def test_repeated_cloning_does_not_change_the_voices_of_the_base(
    base: Base, examples: list[Example], tmp_path: Path
) -> None:
    tokens = base.symbols.encode("abc de.")
    before = [base.acoustic.generate(tokens, speaker) for speaker in (-1, 0, 1)]
    for seed in range(3):
        path = tmp_path / f"{seed}.voice.safetensors"
        clone_examples(base, examples, CloneSettings(steps=3, seed=seed)).save(path)
        Voice.load(path).apply(base).generate(tokens)
    after = [base.acoustic.generate(tokens, speaker) for speaker in (-1, 0, 1)]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    reloaded = load_base(base.folder)
    assert reloaded.hash == base.hash
