"""The data of cloning: batches of whole sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import random_example, tiny_base, tone_sentence

from tts_meta.adapt import AcousticTask, acoustic_nll, adaptable_modules
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


def test_the_loss_of_all_sentences_is_the_sum_over_whole_sentences(base: Base, examples: list[Example]) -> None:
    many, nll = [replace(e, id=f"{n}") for n, e in enumerate(examples * 3)], acoustic_nll(base.acoustic)
    batches = task_of(base, many).all_sentences()
    assert len(batches) > 1
    assert sorted(name for batch in batches for name in batch.batch.ids) == sorted(e.id for e in many)
    with torch.no_grad():
        single = sum(float(nll(base.acoustic, task_of(base, [example]).all_sentences())) for example in many)
        assert float(nll(base.acoustic, batches)) == pytest.approx(single, rel=1e-5)
