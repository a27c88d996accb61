from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import write_recordings
from helpers import random_example, same_weights, tone_sentence

from tts_meta.adapt import CloneProgress, CloneSettings, Voice, adaptable_modules, clone, clone_examples
from tts_meta.adapt.early_stopping import MAX_STEPS, PlateauStop
from tts_meta.adapt.settings import NO_PRIOR_LR, NO_PRIOR_STEPS, SIGMA_LR
from tts_meta.corpus import Example, collate
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Trace
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.shrinkage_prior import ModulePrior

FEW = CloneSettings(steps=30, learning_rate=3e-3)


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    """Five sentences whose frames are alike, so that there is something to learn."""
    made = [random_example(base, tone_sentence(seed, words=4), seed, "new") for seed in range(5)]
    shape = torch.linspace(-2, 2, 80)
    return [replace(example, mel=-5 + shape + 0.2 * (example.mel + 5)) for example in made]


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    return write_recordings(tmp_path, 4)


def nats_per_frame(base: Base, model: torch.nn.Module, example: Example) -> float:
    batch = collate([example], {"new": -1}, base.acoustic.reduction)
    return float(acoustic_loss(base.acoustic, model(batch), batch).nll / len(example.mel))


def test_cloning_lowers_the_loss_on_sentences_never_adapted_on(base: Base, examples: list[Example]) -> None:
    seen: list[CloneProgress] = []
    voice = clone_examples(base, examples, replace(FEW, hold_out=1), seen.append, consent="agreed")
    assert voice.base_hash == base.hash and voice.steps == 30 and voice.consent == "agreed"
    assert [progress.step for progress in seen] == list(range(1, 31))
    assert seen[-1].loss < seen[0].loss - 1
    assert voice.scores["sentences"] == 4
    assert voice.scores["held_out_after"] < voice.scores["held_out_before"] - 1
    assert voice.scores["held_out_before"] == pytest.approx(nats_per_frame(base, base.acoustic, examples[-1]), rel=1e-5)
    adapted = voice.apply(base)
    assert voice.scores["held_out_after"] == pytest.approx(nats_per_frame(base, adapted, examples[-1]), rel=1e-5)
    assert {progress.step for progress in seen if progress.held_out is not None} == {25, 30}
    # The voice is rounded to what its file holds after the last step.
    assert seen[-1].held_out == pytest.approx(voice.scores["held_out_after"], rel=0.02)


def test_every_sentence_is_adapted_on_unless_some_are_held_out(base: Base, examples: list[Example]) -> None:
    few, other = replace(FEW, steps=2), [*examples[:-1], replace(examples[-1], mel=examples[-1].mel + 3)]
    assert CloneSettings().hold_out == 0
    voices = [clone_examples(base, examples[:count], few) for count in range(1, 6)]
    for count, voice in enumerate(voices, 1):
        assert voice.scores["sentences"] == count and "held_out_after" not in voice.scores
        frames = sum(len(example.mel) for example in examples[:count])
        assert voice.scores["seconds"] == pytest.approx(frames * 256 / 22050, abs=0.05)
    assert not same_weights(voices[-1].deltas, clone_examples(base, other, few).deltas), "the last is adapted on"
    held = replace(few, hold_out=1)
    one, two = (clone_examples(base, own, held) for own in (examples, other))
    assert same_weights(one.deltas, two.deltas) and one.scores["sentences"] == 4
    assert same_weights(one.deltas, clone_examples(base, examples[:4], few).deltas), "and else nothing changes"
    assert one.scores["held_out_after"] != two.scores["held_out_after"]


@pytest.mark.parametrize("hold_out", [5, 6])
def test_holding_out_all_sentences_is_refused(base: Base, examples: list[Example], hold_out: int) -> None:
    with pytest.raises(UsageError, match=f"{hold_out} of 5 sentences cannot be held out; hold out 0 to 4"):
        clone_examples(base, examples, replace(FEW, hold_out=hold_out))


@pytest.mark.parametrize("rank", [0, 2])
def test_a_voice_in_memory_is_the_voice_on_disk(
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
    found = nats_per_frame(base, loaded.apply(base), examples[-1])
    assert voice.scores["held_out_after"] == pytest.approx(found, rel=1e-5), "scores are those of the saved voice"
    loaded.save(tmp_path / "b.voice.safetensors")
    assert same_weights(Voice.load(tmp_path / "b.voice.safetensors").deltas, voice.deltas)


def test_the_same_seed_gives_the_same_voice_whatever_was_drawn_before(base: Base, examples: list[Example]) -> None:
    few = replace(FEW, steps=4, frames_per_step=60)
    one = clone_examples(base, examples, few)
    torch.randn(7)
    state = torch.get_rng_state()
    two = clone_examples(base, examples, few)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state is not touched"
    assert same_weights(one.deltas, two.deltas)
    assert not same_weights(one.deltas, clone_examples(base, examples, replace(few, seed=1)).deltas)


def test_only_the_chosen_modules_are_in_the_voice(base: Base, examples: list[Example]) -> None:
    voice = clone_examples(base, examples, replace(FEW, steps=2, modules=("speaker.mean", "postnet.*")))
    chosen = adaptable_modules(base).select(["speaker.mean", "postnet.*"])
    assert voice.modules == chosen.names and sorted(voice.deltas) == sorted(chosen.parameters())


def test_the_base_is_left_as_it_was(base: Base, examples: list[Example]) -> None:
    before = {name: value.clone() for name, value in base.acoustic.state_dict().items()}
    clone_examples(base, examples, replace(FEW, steps=2))
    assert same_weights(base.acoustic.state_dict(), before)
    assert not any(module.training for module in base.acoustic.modules())
    assert not any(parameter.requires_grad for parameter in base.acoustic.parameters())


def test_no_steps_give_the_base_back(base: Base, examples: list[Example]) -> None:
    voice = clone_examples(base, examples, replace(FEW, steps=0))
    assert all(float(delta.abs().max()) == 0 for delta in voice.deltas.values())
    held = clone_examples(base, examples, replace(FEW, steps=0, hold_out=1))
    assert held.scores["held_out_after"] == held.scores["held_out_before"]


def test_a_smaller_variance_makes_a_smaller_voice(base: Base, examples: list[Example]) -> None:
    sizes = []
    for variance in (1e9, 1e-3, 1e-5, 1e-8):
        voice = clone_examples(base, examples, replace(FEW, steps=10, variance=variance))
        sizes.append(math.sqrt(sum(float(delta.square().sum()) for delta in voice.deltas.values())))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.05 * sizes[0]


def with_prior(base: Base, **sigmas: float) -> Base:
    """The same base, σ² of some modules learned."""
    variances = {name.replace("__", "."): sigma**2 for name, sigma in sigmas.items()}
    return replace(base, prior=ModulePrior(variances, base.hash))


def test_under_a_learned_prior_a_module_steps_in_its_own_sigmas(base: Base, examples: list[Example]) -> None:
    """Adam's first step is as long as the step size, whatever the gradient: then the prior draws it back a little."""
    learned = with_prior(base, speaker__mean=1e-2, decoder__output__weight=4e-3, postnet__output__bias=1e-7)
    voice = clone_examples(learned, examples, CloneSettings(steps=1))
    assert voice.modules == ("speaker.mean", "decoder.output.weight"), "what hardly strays is left as it is"
    for name, sigma in (("speaker.mean", 1e-2), ("decoder.output.weight", 4e-3)):
        assert float(voice.deltas[name].abs().max()) == pytest.approx(SIGMA_LR * sigma, rel=0.05)
    fixed = clone_examples(learned, examples, CloneSettings(steps=1, learning_rate=1e-4))
    assert float(fixed.deltas["speaker.mean"].abs().max()) == pytest.approx(1e-4, rel=0.05)
    free = clone_examples(learned, examples, CloneSettings(steps=1, variance=1.0))
    assert float(free.deltas["speaker.mean"].abs().max()) == pytest.approx(NO_PRIOR_LR, rel=0.05)


def test_a_prior_may_name_what_adapts_and_how_much_wider_than_learned(base: Base, examples: list[Example]) -> None:
    learned = with_prior(base, speaker__mean=5e-3, postnet__output__bias=2e-3)
    assert learned.prior is not None
    few = replace(learned, prior=replace(learned.prior, adapted_modules=("speaker.mean",)))
    assert clone_examples(few, examples, CloneSettings(steps=1)).modules == ("speaker.mean",)
    wide = replace(learned, prior=replace(learned.prior, prior_scale=100.0))

    def moved(prior: Base, steps: int) -> float:
        return float(clone_examples(prior, examples, CloneSettings(steps=steps)).deltas["postnet.output.bias"].norm())

    first, last = ([moved(one, steps) for one in (learned, wide)] for steps in (1, 100))
    assert first[1] == pytest.approx(first[0], rel=0.2), "steps are as long as the learned sigma says"
    assert last[1] > 3 * last[0], "and more of them go further"
    asked, shipped = (
        clone_examples(one, examples, CloneSettings(steps=3, prior_scale=prior_scale)).deltas
        for one, prior_scale in ((learned, 100.0), (wide, None))
    )
    assert all(torch.equal(asked[name], shipped[name]) for name in shipped), "as one may ask for"
    for wrong in (replace(learned, prior=None), wide):
        with pytest.raises(UsageError, match="prior_scale scales the base's learned prior"):
            clone_examples(wrong, examples, CloneSettings(variance=0.1, prior_scale=2.0))
    with pytest.raises(UsageError, match="prior_scale must be above 0"):
        clone_examples(wide, examples, CloneSettings(prior_scale=0.0))


def test_a_prior_reads_back_whole(tmp_path: Path) -> None:
    prior = ModulePrior({"a": 0.5, "b": 2.0}, "hash", {"learner": "x"}, {"a": [1.0, 0.5], "b": [1.0, 2.0]}, ("b",), 4.0)
    prior.save(tmp_path / "prior.safetensors")
    loaded = ModulePrior.load(tmp_path / "prior.safetensors")
    assert replace(loaded, variances={}) == replace(prior, variances={})
    assert loaded.variances == pytest.approx(prior.variances)
    for wrong in (replace(prior, adapted_modules=("c",)), replace(prior, prior_scale=-1.0)):
        wrong.save(tmp_path / "wrong.safetensors")
        with pytest.raises(TtsMetaError, match="damaged header"):
            ModulePrior.load(tmp_path / "wrong.safetensors")


def test_many_steps_under_a_learned_prior_end_where_the_prior_holds_them(base: Base, examples: list[Example]) -> None:
    learned = with_prior(base, postnet__output__bias=0.3)
    some, many = (clone_examples(learned, examples, CloneSettings(steps=steps)) for steps in (200, 800))
    for name, delta in some.deltas.items():
        assert float((many.deltas[name] - delta).norm()) < 0.1 * float(delta.norm())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modules": ("decoder.*", "vocode.*")}, r"no module matches 'vocode\.\*'; modules: speaker\.mean, "),
        ({"modules": ("speaker.offsets",)}, "no module matches 'speaker.offsets'"),
        ({"steps": -1}, "^steps must be from 0 to .*, not -1"),
        ({"vocoder_steps": -1}, "vocoder_steps must be from 0 to .*, not -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate must be from 0 to .*, not nan"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    base: Base, examples: list[Example], change: dict[str, float], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        clone_examples(base, examples, replace(FEW, **change))


def test_recordings_with_texts_beside_them_become_a_voice(base: Base, recordings: list[Path]) -> None:
    voice = clone(recordings, base=base, settings=replace(FEW, steps=2), warn=lambda text: None)
    assert voice.scores["sentences"] == 4 and voice.scores["seconds"] > 1
    texts = [path.with_suffix(".txt").read_text().strip() for path in recordings]
    few, loaded = replace(FEW, steps=2), load_base(base.folder)
    given = clone(recordings, transcripts=texts, base=base, settings=few, warn=lambda text: None)
    assert same_weights(given.deltas, voice.deltas) and any(bool(delta.any()) for delta in voice.deltas.values())
    read, own = (clone(recordings, base=one, settings=few, warn=lambda text: None) for one in (base.folder, loaded))
    assert same_weights(read.deltas, own.deltas) and read.base_hash == own.base_hash == voice.base_hash


def test_texts_are_counted_against_recordings(base: Base, recordings: list[Path]) -> None:
    with pytest.raises(UsageError, match="4 recordings and 1 transcripts; give one for each"):
        clone(recordings, transcripts=["abc"], base=base)
    with pytest.raises(TtsMetaError, match="no recordings given"):
        clone([], base=base)


def test_a_character_the_base_does_not_know_is_named_with_its_sentence(base: Base, recordings: list[Path]) -> None:
    with pytest.raises(TtsMetaError, match="unknown symbol 'x' in \"abc xyz\""):
        clone(recordings[:1], transcripts=["abc xyz"], base=base)


def test_dropout_in_the_prenet_is_drawn_from_the_seed(base: Base, examples: list[Example]) -> None:
    one, two = (clone_examples(base, examples[:1], replace(FEW, steps=3, seed=seed)) for seed in (0, 1))
    assert not same_weights(one.deltas, two.deltas), "there is but one sentence to draw"


@pytest.mark.parametrize("frames_per_step", [1, 10**6])
def test_the_loss_of_a_step_stands_for_all_recordings_however_few_it_sees(
    base: Base, examples: list[Example], frames_per_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base.acoustic.decoder, "dropout", 0.0)
    given: list[float] = []

    def record(nll: Callable[..., torch.Tensor], meta: torch.Tensor, *rest: object, **named: object):
        given.append(float(nll(meta[None], 0)))
        return [torch.zeros(1, len(meta))], Trace(torch.zeros(0, 1))

    monkeypatch.setattr(importlib.import_module("tts_meta.adapt.adaptation"), "run_inner_loop", record)
    clone_examples(base, [examples[0]] * 3, replace(FEW, frames_per_step=frames_per_step))
    batch = collate([examples[0]], {"new": -1}, base.acoustic.reduction)
    nll = acoustic_loss(base.acoustic, base.acoustic(batch), batch).nll
    assert given[0] == pytest.approx(3 * float(nll), rel=1e-5)


def test_without_steps_given_the_loop_ends_when_it_has_settled(base: Base, examples: list[Example]) -> None:
    learned = with_prior(base, postnet__output__bias=0.3)
    seen: list[CloneProgress] = []
    voice = clone_examples(learned, examples, CloneSettings(), seen.append)
    assert 50 <= voice.steps < MAX_STEPS and voice.steps == seen[-1].step == seen[-1].steps
    assert re.match(
        r"steps \d+ to \d+ gave [\d.]+% of the reduction of the objective; the learning rate then ",
        voice.scores["stopped"],
    )
    more = clone_examples(learned, examples, CloneSettings(steps=4 * voice.steps))
    for name, delta in voice.deltas.items():
        assert float((more.deltas[name] - delta).norm()) < 0.15 * float(delta.norm()), "nothing is left to be gained"
    free = clone_examples(base, examples, CloneSettings(modules=("postnet.output",)))
    assert free.steps == NO_PRIOR_STEPS and "stopped" not in free.scores


def test_step_sizes_fall_when_the_objective_no_longer_does() -> None:
    plateau = PlateauStop(0.1, max_steps=1000)
    for step, objective in ((0, 1000.0), (25, 500.0), (50, 400.0), (75, 399.0)):
        assert plateau.should_check(step) and not plateau.finished(step) and plateau.learning_rate(step) == 0.1
        plateau.update(step, objective)
    assert (plateau.decay_start, plateau.end) == (75, 113) and not plateau.should_check(100)
    assert plateau.reason == (
        "steps 50 to 75 gave 0.2% of the reduction of the objective; "
        "the learning rate then decayed to zero over 38 steps"
    )
    assert plateau.learning_rate(94) == pytest.approx(0.05) and plateau.finished(113) and not plateau.finished(112)


def test_a_loop_that_never_settles_ends_all_the_same() -> None:
    plateau = PlateauStop(0.1, max_steps=300)
    objectives = {step: 1000.0 - step for step in range(0, 301, 25)}
    step = 0
    while not plateau.finished(step):
        if plateau.should_check(step):
            plateau.update(step, objectives[step])
        step += 1
    assert step == plateau.end <= 300 and plateau.learning_rate(step - 1) < 0.1
    assert plateau.reason.startswith("the maximum number of steps was reached; steps ")


def test_any_number_of_clones_leaves_the_voices_of_the_base_as_they_were(
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
