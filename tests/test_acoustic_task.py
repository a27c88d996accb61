"""The data of cloning: segments of sentences, the loss of a step and of all segments, batches of whole sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import random_example, tiny_base, tone_sentence

from tts_meta.adapt import AcousticTask, acoustic_nll, adaptable_modules
from tts_meta.adapt.acoustic_task import AcousticBatch
from tts_meta.corpus import Example
from tts_meta.models.pretrained import Base


@pytest.fixture(scope="module")
def base() -> Base:
    return tiny_base()


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    """Three sentences with a pause of 20 frames after each comma, each part longer than the shortest segment."""
    examples = []
    for seed in range(3):
        sentence = ", ".join(tone_sentence(10 * seed + part, words=12).rstrip(".") for part in range(2 + seed))
        example = random_example(base, sentence + ".", seed, "new")
        durations = torch.where(base.silent[example.tokens], 20, example.durations + 6)
        mel = torch.randn(int(durations.sum()), example.mel.shape[1], generator=torch.Generator().manual_seed(seed))
        examples.append(replace(example, durations=durations, mel=mel))
    return examples


def task_of(base: Base, examples: list[Example]) -> AcousticTask:
    return AcousticTask(base, examples, adaptable_modules(base).names)


def test_segments_contain_each_frame_once_and_keep_speaker_and_durations(base: Base, examples: list[Example]) -> None:
    task = task_of(base, examples)
    assert len(task.segments) > len(examples), "the sentences have pauses"
    assert torch.equal(torch.cat([s.mel for s in task.segments]), torch.cat([e.mel for e in examples]))
    assert {segment.speaker for segment in task.segments} == {"new"}
    for segment in task.segments:
        assert int(segment.durations.sum()) == len(segment.mel)


def test_the_mean_loss_of_the_steps_is_the_loss_of_all_segments(
    base: Base, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly for each pass over the segments; dropout is off."""
    monkeypatch.setattr(base.acoustic.decoder, "dropout", 0.0)
    data, nll = task_of(base, examples), acoustic_nll(base.acoustic)
    count = 3
    task = data.task(None, -(-data.frames // count), seed=5)
    with torch.no_grad():
        whole = sum(float(nll(base.acoustic, task_of(base, [segment]).all_sentences())) for segment in data.segments)
        losses = [float(nll(base.acoustic, task.at(step))) for step in range(4 * count)]
    for first in range(0, len(losses), count):
        assert sum(losses[first : first + count]) / count == pytest.approx(whole, rel=1e-5)
    assert len(set(losses)) > count, "each pass has other groups"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_steps_have_about_the_same_number_of_frames(base: Base, examples: list[Example], count: int) -> None:
    data = task_of(base, examples)
    task = data.task(None, -(-data.frames // count), seed=0)
    longest = max(len(segment.mel) for segment in data.segments)
    for step in range(8):
        batch: AcousticBatch = task.at(step)
        assert abs(int(batch.batch.all_frames) - data.frames / count) <= longest
        assert batch.weight == count


def test_the_number_of_groups_is_rounded(base: Base, examples: list[Example]) -> None:
    data = task_of(base, examples)
    weights = [data.task(None, round(data.frames / count), seed=0).at(0).weight for count in (2.2, 2.8, 0.1)]
    assert weights == [2, 3, 1]


def test_the_loss_of_all_sentences_is_the_sum_over_whole_sentences(base: Base, examples: list[Example]) -> None:
    many, nll = [replace(e, id=f"{n}") for n, e in enumerate(examples * 3)], acoustic_nll(base.acoustic)
    batches = task_of(base, many).all_sentences()
    assert len(batches) > 1
    assert sorted(name for batch in batches for name in batch.batch.ids) == sorted(e.id for e in many)
    with torch.no_grad():
        single = sum(float(nll(base.acoustic, task_of(base, [example]).all_sentences())) for example in many)
        assert float(nll(base.acoustic, batches)) == pytest.approx(single, rel=1e-5)
