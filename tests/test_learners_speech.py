"""Rules that every learner obeys on a tiny speech domain. A learner added to `LEARNERS` is tested here too."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import random_state_kept, same_weights, similar_examples, tiny_base
from toy_domains import own_settings

from tts_meta import speak
from tts_meta.adapt import AcousticTask, CloneSettings, Voice, adaptable_modules, clone_examples
from tts_meta.adapt.acoustic_adaptation import ACOUSTIC_ROLES
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.learner_files import saved_learner
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta import (
    LEARNERS,
    Budget,
    MetaLearner,
    MetaTrainer,
    Task,
    TrainedTasks,
    TrainerSettings,
    create_learner,
)
from tts_meta.models.pretrained import Base, load_base, save_base

every_learner = pytest.mark.parametrize("name", LEARNERS)
VALUES = {"inner_lr": 1e-5, "inner_steps": 2, "variance": 0.1, "cg_max_iters": 2, "hessian": "difference", "rank": 2}
VALUES |= {"step_lr": 1e-8}
BUDGET = Budget(3)


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    return similar_examples(base)


def trained_tasks(base: Base) -> TrainedTasks:
    """The two training speakers with unit embeddings; every new speaker is nearer to the second."""
    offsets = base.acoustic.speaker.offsets.detach()
    return TrainedTasks("speaker.mean", base.speakers, offsets, torch.eye(2), lambda task: torch.tensor([0.6, 0.8]))


def learner_of(base: Base, name: str, **settings: Any) -> MetaLearner:
    """A learner of all modules that can adapt, with settings for few short steps."""
    modules = adaptable_modules(base)
    roles = {role: modules.select(patterns).names for role, patterns in ACOUSTIC_ROLES.items()}
    domain = acoustic_domain(base, modules, roles=roles, trained_tasks=trained_tasks(base))
    return create_learner(name, domain, own_settings(LEARNERS[name].Settings, VALUES) | settings)


def tasks_of(base: Base, examples: list[Example], learner: MetaLearner) -> list[Task]:
    """Two tasks of three sentences each; a step draws some of their support sentences."""
    tasks = []
    for number in range(2):
        own = examples[number : number + 2], examples[4:5]
        support, query = (AcousticTask(base, part, learner.changing_modules) for part in own)
        tasks.append(support.task(query.all_sentences(), 40, number, f"speaker {number}"))
    return tasks


@every_learner
def test_speakers_adapt_side_by_side_as_they_do_one_by_one(base: Base, examples: list[Example], name: str) -> None:
    learner = learner_of(base, name)
    tasks = tasks_of(base, examples, learner)
    together = learner.adapt(tasks, BUDGET)
    for index, task in enumerate(tasks):
        alone = learner.adapt([task], BUDGET)
        assert together.steps[index] == alone.steps[0]
        torch.testing.assert_close(together.losses[:, index], alone.losses[:, 0], atol=0, rtol=1e-6)
        torch.testing.assert_close(together.task(index), alone.task(0), atol=1e-6, rtol=1e-6)


@every_learner
def test_adaptation_to_speakers_changes_neither_the_base_nor_the_callers_state(
    base: Base, examples: list[Example], name: str
) -> None:
    before, threads = copy.deepcopy(base.acoustic.state_dict()), torch.get_num_threads()
    with random_state_kept():
        learner = learner_of(base, name)
        tasks = tasks_of(base, examples, learner)
        first = learner.adapt(tasks, BUDGET)
        if learner.trainable:
            MetaTrainer(learner, TrainerSettings(outer_lr=0.0)).step(tasks)
    torch.randn(3)
    assert same_weights(learner_of(base, name).adapt(tasks, BUDGET).params, first.params)
    assert same_weights(before, base.acoustic) and torch.get_num_threads() == threads
    assert not any(parameter.requires_grad for parameter in base.acoustic.parameters())


@every_learner
def test_a_learner_saved_beside_its_base_makes_the_same_voice(
    base: Base, examples: list[Example], tmp_path: Path, name: str
) -> None:
    """Meta-train one step, save, load twice, clone: equal voices. The voice is saved, loaded and speaks."""
    changed = tiny_base()
    learner = learner_of(changed, name)
    if learner.trainable:
        outer = TrainerSettings(outer_lr=1e-3)
        MetaTrainer(learner, outer).step(tasks_of(changed, examples, learner))
        with torch.no_grad():
            for parameter, value in learner.model_parameters().items():
                changed.acoustic.get_parameter(parameter).copy_(value)
    changed.learner = saved_learner(learner, "acoustic", meta_steps=1)
    save_base(changed, tmp_path / "base")
    steps, voices = 2 if LEARNERS[name].iterative else None, list[Voice]()
    settings = CloneSettings(steps=steps, frames_per_step=60)
    for folder in (tmp_path / "base", tmp_path / "again"):
        loaded = load_base(tmp_path / "base")
        assert loaded.learner is not None and loaded.learner.learner == name
        voices.append(clone_examples(loaded, examples[:3], settings, trained_tasks=trained_tasks(loaded)))
        save_base(loaded, folder)
        assert loaded.hash == changed.hash
    first, second = voices
    assert same_weights(first.deltas, second.deltas) and first.modules == second.modules
    by_path, loaded = replace(settings, learner=tmp_path / "again"), load_base(tmp_path / "base")
    third = clone_examples(loaded, examples[:3], by_path, trained_tasks=trained_tasks(loaded))
    assert same_weights(first.deltas, third.deltas)
    first.save(tmp_path / "a.voice.safetensors")
    voice = Voice.load(tmp_path / "a.voice.safetensors")
    assert same_weights(voice.deltas, first.deltas)
    assert len(speak(voice, "abc de.", base=load_base(tmp_path / "base")).samples) > 1000


@every_learner
def test_a_capability_that_speech_does_not_have_is_named(base: Base, name: str) -> None:
    if "trained_tasks" not in LEARNERS[name].needs:
        return
    modules = adaptable_modules(base)
    with pytest.raises(UsageError, match=f"learner '{name}' needs the tasks that the model was pretrained on"):
        create_learner(name, acoustic_domain(base, modules, roles={"context": ("speaker.mean",)}))


def test_the_head_data_reproduce_the_normalised_frames_before_the_postnet(base: Base, examples: list[Example]) -> None:
    """The layer's outputs for the inputs are the frames of the teacher-forced pass, at every complete step."""
    learner = learner_of(base, "finetune-all")
    batches = AcousticTask(base, examples[:3], learner.changing_modules).all_sentences()
    head = learner.domain.head_data({}, batches)
    layer, model = base.acoustic.decoder.output, base.acoustic
    with torch.no_grad():
        outputs = torch.nn.functional.linear(head.inputs, layer.weight, layer.bias)
        frames = [
            mel[: int(length) // model.reduction * model.reduction]
            for data in batches
            for mel, length in zip(model(data.batch).mel_before, data.batch.mel_lengths, strict=True)
        ]
    rows = torch.cat(frames)
    assert len(head.inputs) == len(head.targets) == len(head.weights) == len(rows) // model.reduction
    expected = (rows.reshape(-1, model.n_mels) - model.mel_mean) / model.mel_scale
    torch.testing.assert_close(outputs.reshape(-1, model.n_mels), expected, atol=1e-4, rtol=1e-4)


def test_the_items_of_a_task_are_its_sentences(base: Base, examples: list[Example]) -> None:
    domain = learner_of(base, "finetune-all").domain
    assert domain.items is not None
    items = domain.items(AcousticTask(base, examples[:3], ()).all_sentences())
    given = sorted(examples[:3], key=lambda example: len(example.mel))
    order = items.lengths.argsort()
    assert items.lengths[order].tolist() == [len(example.mel) for example in given]
    for row, example in zip(items.features[order], given, strict=True):
        torch.testing.assert_close(row[: len(example.mel)], example.mel)
