"""Random draws of inner steps depend on the seed and the step only, and use no global generator."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import write_recordings
from helpers import random_example, random_state_kept, same_weights, tiny_base, tiny_source_filter, tone_sentence
from torch import Tensor

from tts_meta.adapt import (
    AcousticTask,
    CloneSettings,
    VocoderTask,
    acoustic_nll,
    adaptable_modules,
    adaptable_vocoder_modules,
    clone,
    clone_examples,
    vocoder_nll,
)
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.vocoder_domain import vocoder_domain
from tts_meta.corpus import Example
from tts_meta.meta import Budget, MetaTrainer, Task, create_learner
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder

SETTINGS: dict[str, Any] = {
    "inner_solver": "adam",
    "inner_lr": 1e-3,
    "inner_steps": 2,
    "variance": 1e-3,
    "cg_max_iters": 2,
}
Make = Callable[..., Task]


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    """Sentences with mels and samples long enough for crops."""
    light = SourceFilterVocoder(tiny_source_filter())
    made = [random_example(base, tone_sentence(seed, words=12), seed, "new") for seed in range(3)]
    return [replace(example, samples=light(example.mel[None])[0]) for example in made]


def acoustic(base: Base, examples: list[Example], seed: int = 3) -> Task:
    """A task of the acoustic model. Its query has dropout too, so that every loss of a meta-step draws."""
    task = AcousticTask(base, examples[:2], adaptable_modules(base).names).task(None, 60, seed, "new")
    return replace(task, query=AcousticTask(base, examples[2:], adaptable_modules(base).names).task(None, 60, 9).at(0))


def vocoder(base: Base, examples: list[Example], seed: int = 3) -> Task:
    task = VocoderTask(tiny_source_filter(), examples[:2]).task(2, seed)
    scored = VocoderTask(tiny_source_filter(), examples[2:]).sample(2, 0)
    return replace(task, support=VocoderTask(tiny_source_filter(), examples[:2]).sample(4, 0), query=scored)


def trainer_of(base: Base, make: Make) -> MetaTrainer:
    if make is acoustic:
        chosen = adaptable_modules(base).select(["decoder.output", "postnet.output"])
        return MetaTrainer(create_learner("sigma-reptile", acoustic_domain(base, chosen), SETTINGS))
    light = SourceFilterVocoder(tiny_source_filter())
    domain = vocoder_domain(light, adaptable_vocoder_modules(light).select(["vocoder.net.output"]))
    return MetaTrainer(create_learner("sigma-reptile", domain, SETTINGS | {"hessian": "difference"}))


def loss_of(base: Base, make: Make) -> Callable[[Any], Tensor]:
    """The loss of data with the initial weights."""
    if make is acoustic:
        return lambda data: acoustic_nll(base.acoustic)(base.acoustic, data)
    light = tiny_source_filter()
    return lambda data: vocoder_nll(light)(light, data)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in the data, with its numbers as tensors."""
    if isinstance(value, Tensor | int | float):
        return [torch.as_tensor(value)]
    items = astuple(value) if hasattr(value, "__dataclass_fields__") else value
    return [tensor for item in items for tensor in tensors(item)] if isinstance(items, tuple | list) else []


def same(first: Any, second: Any) -> bool:
    pairs = list(zip(tensors(first), tensors(second), strict=True))
    return bool(pairs) and all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


both = pytest.mark.parametrize("make", [acoustic, vocoder])


@both
def test_a_draw_depends_on_the_seed_and_the_step_only(base: Base, examples: list[Example], make: Make) -> None:
    task, other = make(base, examples), make(base, examples)
    in_order = [task.at(step) for step in range(6)]
    for step in (5, 0, 3, 3, 1):  # out of order, and one step twice
        torch.randn(3), random.random(), np.random.rand()  # pyright: ignore[reportUnusedExpression]
        assert same(other.at(step), in_order[step])
    assert not any(same(in_order[0], draw) for draw in in_order[1:]), "each step draws other data"
    assert not same(in_order[0], make(base, examples, seed=4).at(0))


@both
def test_the_loss_depends_on_the_draw_only(base: Base, examples: list[Example], make: Make) -> None:
    """This includes the prenet's dropout and the vocoder's noise; other draws in between have no effect."""
    task, loss = make(base, examples), loss_of(base, make)
    with torch.no_grad():
        first, second = float(loss(task.at(0))), float(loss(task.at(1)))
        torch.randn(11)
        again, other = float(loss(task.at(1))), float(loss(task.at(0)))
    assert (other, again) == (first, second) and first != second


def test_each_step_has_other_dropout(base: Base, examples: list[Example]) -> None:
    """There is only one sentence to draw, so only the dropout differs between steps."""
    task, loss = (
        AcousticTask(base, examples[:1], adaptable_modules(base).names).task(None, 60, 0),
        loss_of(base, acoustic),
    )
    with torch.no_grad():
        losses = [float(loss(task.at(step))) for step in range(4)]
        without_dropout = float(loss(task.support))
    assert len({*losses, without_dropout}) == 5


@both
def test_meta_learning_does_not_change_the_global_random_state(base: Base, examples: list[Example], make: Make) -> None:
    with random_state_kept():
        task, trainer = make(base, examples), trainer_of(base, make)
        task.at(0), task.at(7)  # pyright: ignore[reportUnusedExpression]
        trainer.learner.adapt([task], Budget(2))
        trainer.learner.adapt([task, make(base, examples, seed=5)], Budget(2))
        trainer.step([task])
        trainer.learner.score(trainer.learner.start(), [task.query])


@pytest.mark.parametrize("mode", [True, False])
def test_the_loss_restores_the_mode_of_the_decoder(base: Base, examples: list[Example], mode: bool) -> None:
    """Losses with and without dropout do not depend on the mode of the decoder."""
    model, task = (
        tiny_base().acoustic,
        AcousticTask(base, examples[:1], adaptable_modules(base).names).task(None, 60, 0),
    )
    for data in (task.at(0), task.support):
        losses = []
        for decoder_mode in (mode, not mode):
            model.decoder.train(decoder_mode)
            losses.append(float(acoustic_nll(model)(model, data)))
            assert model.decoder.training == decoder_mode
        assert losses[0] == losses[1]


def test_cloning_from_recordings_does_not_change_the_global_random_state(base: Base, tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path, 2)
    with random_state_kept():
        clone(recordings, base=base, settings=CloneSettings(steps=1), warn=lambda text: None)


def test_cloning_from_examples_does_not_change_the_global_random_state(base: Base, examples: list[Example]) -> None:
    few = CloneSettings(modules=("postnet.output", "vocoder.net.output"), steps=2, vocoder_steps=2, crops_per_step=2)
    with random_state_kept():
        clone_examples(base, examples, few, vocoder=SourceFilterVocoder(tiny_source_filter()))


@both
def test_speakers_adapt_in_a_batch_as_they_do_one_by_one(base: Base, examples: list[Example], make: Make) -> None:
    tasks, learner = [make(base, examples, seed=seed) for seed in (3, 4)], trainer_of(base, make).learner
    in_batch = learner.adapt(tasks, Budget(3))
    for index, task in enumerate(tasks):
        single = learner.adapt([task], Budget(3))
        torch.testing.assert_close(in_batch.losses[:, index], single.losses[:, 0], atol=0, rtol=1e-6)
        torch.testing.assert_close(in_batch.task(index), single.task(0), atol=1e-6, rtol=1e-6)


@both
def test_adaptation_and_meta_steps_are_repeatable(base: Base, examples: list[Example], make: Make) -> None:
    task, trainer = make(base, examples), trainer_of(base, make)
    first = trainer.learner.adapt([task], Budget(3))
    torch.randn(5)
    assert same_weights(trainer.learner.adapt([task], Budget(3)).params, first.params)
    other = trainer_of(tiny_base(), make)
    trainer.step([task])
    torch.randn(5)
    other.step([make(base, examples)])
    assert same_weights(trainer, other)
