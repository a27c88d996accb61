"""Cloning with a learned prior: step lengths, adapted modules, the prior's scale, and automatic stopping."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch
from helpers import similar_examples

from tts_meta.adapt import CloneProgress, CloneSettings, clone_examples
from tts_meta.adapt.learner_choice import choose_acoustic_learner
from tts_meta.adapt.settings import NO_PRIOR_LR, NO_PRIOR_STEPS
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta.solvers.stopping import MAX_STEPS
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import CLONING_SETTINGS
from tts_meta.models.shrinkage_prior import ModulePrior

FEW = CloneSettings(steps=30, learning_rate=3e-3)


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    return similar_examples(base)


def test_a_smaller_prior_variance_gives_smaller_deltas(base: Base, examples: list[Example]) -> None:
    sizes = []
    for variance in (1e9, 1e-3, 1e-5, 1e-8):
        voice = clone_examples(base, examples, replace(FEW, steps=10, variance=variance))
        sizes.append(math.sqrt(sum(float(delta.square().sum()) for delta in voice.deltas.values())))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.05 * sizes[0]


def with_prior(base: Base, **sigmas: float) -> Base:
    """The same base with a learned prior for some modules."""
    variances = {name.replace("__", "."): sigma**2 for name, sigma in sigmas.items()}
    return base.with_prior(ModulePrior(variances))


def test_with_a_learned_prior_steps_are_proportional_to_sigma(base: Base, examples: list[Example]) -> None:
    """The length of Adam's first step is the learning rate for any gradient; the prior then shortens it slightly."""
    learned = with_prior(base, speaker__mean=1e-2, decoder__output__weight=4e-3, postnet__output__bias=1e-7)
    voice = clone_examples(learned, examples, CloneSettings(steps=1))
    assert voice.modules == ("speaker.mean", "decoder.output.weight"), "modules with a negligible sigma do not adapt"
    for name, sigma in (("speaker.mean", 1e-2), ("decoder.output.weight", 4e-3)):
        assert float(voice.deltas[name].abs().max()) == pytest.approx(CLONING_SETTINGS["inner_lr"] * sigma, rel=0.05)
    fixed = clone_examples(learned, examples, CloneSettings(steps=1, learning_rate=1e-4))
    assert float(fixed.deltas["speaker.mean"].abs().max()) == pytest.approx(1e-4, rel=0.05)
    no_prior = clone_examples(learned, examples, CloneSettings(steps=1, variance=1.0))
    assert float(no_prior.deltas["speaker.mean"].abs().max()) == pytest.approx(NO_PRIOR_LR, rel=0.05)


def test_a_prior_can_set_the_adapted_modules_and_its_scale(base: Base, examples: list[Example]) -> None:
    learned = with_prior(base, speaker__mean=5e-3, postnet__output__bias=2e-3)
    assert learned.prior is not None
    few = learned.with_prior(replace(learned.prior, adapted_modules=("speaker.mean",)))
    assert clone_examples(few, examples, CloneSettings(steps=1)).modules == ("speaker.mean",)
    wide = learned.with_prior(replace(learned.prior, prior_scale=100.0))

    def moved(prior: Base, steps: int) -> float:
        return float(clone_examples(prior, examples, CloneSettings(steps=steps)).deltas["postnet.output.bias"].norm())

    first, last = ([moved(one, steps) for one in (learned, wide)] for steps in (1, 100))
    assert first[1] == pytest.approx(first[0], rel=0.25), "the first step depends on the learned sigma only"
    assert last[1] > 3 * last[0], "many steps go further with the wider prior"
    by_setting, by_prior = (
        clone_examples(one, examples, CloneSettings(steps=3, prior_scale=prior_scale)).deltas
        for one, prior_scale in ((learned, 100.0), (wide, None))
    )
    assert all(torch.equal(by_setting[name], by_prior[name]) for name in by_prior), "a setting has the same effect"
    for wrong in (learned.with_prior(None), wide):
        with pytest.raises(UsageError, match="prior_scale scales the base's learned prior"):
            clone_examples(wrong, examples, CloneSettings(variance=0.1, prior_scale=2.0))
    with pytest.raises(UsageError, match="prior_scale must be above 0"):
        clone_examples(wide, examples, CloneSettings(prior_scale=0.0))


def test_with_a_learned_prior_more_steps_give_nearly_the_same_voice(base: Base, examples: list[Example]) -> None:
    learned = with_prior(base, postnet__output__bias=0.3)
    short, long = (clone_examples(learned, examples, CloneSettings(steps=steps)) for steps in (200, 800))
    for name, delta in short.deltas.items():
        assert float((long.deltas[name] - delta).norm()) < 0.1 * float(delta.norm())


def test_l_bfgs_clones_stops_automatically_and_leaves_out_draws(base: Base, examples: list[Example]) -> None:
    learned = with_prior(base, postnet__output__bias=0.3)
    settings = CloneSettings(learner_settings={"inner_solver": "l-bfgs"}, hold_out=1, history_mixing=0.0)
    voices = [clone_examples(learned, examples, replace(settings, frames_per_step=frames)) for frames in (50, 10**6)]
    assert all(torch.equal(delta, voices[1].deltas[name]) for name, delta in voices[0].deltas.items())
    assert re.match(r"steps \d+ to \d+ gave [\d.]+% of the reduction of the objective", voices[0].scores["stopped"])
    assert voices[0].scores["held_out_after"] < voices[0].scores["held_out_before"]
    many = clone_examples(learned, examples, replace(settings, steps=10_000))
    assert many.steps < 1000 and "has reached its minimum" in many.scores["stopped"]
    mixed = clone_examples(learned, examples, replace(settings, history_mixing=0.5))
    assert re.match(r"the last round gave [\d.]+% of the reduction of the objective", mixed.scores["stopped"])


def test_a_learning_rate_selects_adam_in_place_of_l_bfgs(base: Base) -> None:
    learned = with_prior(base, postnet__output__bias=0.3)
    assert learned.learner is not None
    learner = replace(learned.learner, settings={**learned.learner.settings, "inner_solver": "l-bfgs"})
    chosen = [
        choose_acoustic_learner(replace(learned, learner=learner), CloneSettings(learning_rate=rate)).settings
        for rate in (None, 1e-3)
    ]
    assert [settings["inner_solver"] for settings in chosen] == ["l-bfgs", "adam"]
    assert chosen[1]["inner_lr"] == 1e-3


def test_without_a_number_of_steps_the_loop_stops_at_a_plateau(base: Base, examples: list[Example]) -> None:
    learned = with_prior(base, postnet__output__bias=0.3)
    reports: list[CloneProgress] = []
    voice = clone_examples(learned, examples, CloneSettings(), reports.append)
    assert 20 <= voice.steps < MAX_STEPS and voice.steps == reports[-1].step == reports[-1].steps
    assert re.match(
        r"steps \d+ to \d+ gave [\d.]+% of the reduction of the objective; the learning rate then ",
        voice.scores["stopped"],
    )
    longer = clone_examples(learned, examples, CloneSettings(steps=4 * voice.steps))
    for name, delta in voice.deltas.items():
        assert float((longer.deltas[name] - delta).norm()) < 0.15 * float(delta.norm()), "more steps change little"
    no_prior = clone_examples(base, examples, CloneSettings(modules=("postnet.output",)))
    assert no_prior.steps == NO_PRIOR_STEPS and "stopped" not in no_prior.scores
