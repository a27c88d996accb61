from __future__ import annotations

from collections import Counter

import torch

from recipes.few_shot import cost
from tts_meta.adapt import adaptable
from tts_meta.models.base import Base


def test_a_step_is_the_gradient_of_what_adapts(base: Base) -> None:
    for patterns in (("*",), ("speaker.mean",), ("*.bias",)):
        size = sum(module.size for module in adaptable(base).select(patterns).modules)
        gradient = cost.step_of(base, patterns, 0, 2 * cost.SENTENCE)()
        assert gradient.shape == (1, size)
        assert gradient.isfinite().all()
        assert gradient.any()


def test_a_larger_batch_is_the_sum_of_more_sentences(base: Base) -> None:
    nats = [cost.step_of(base, ("*",), 0, count * cost.SENTENCE)().norm() for count in (1, 8)]
    assert nats[1] > 2 * nats[0]


def test_low_rank_moves_fewer_numbers(base: Base) -> None:
    whole, low = (cost.step_of(base, ("*",), rank, cost.SENTENCE)() for rank in (0, 1))
    assert low.numel() < whole.numel()
    assert low.any()


def test_steps_are_timed_in_turns_and_the_first_is_not_counted() -> None:
    seen: Counter[str] = Counter()
    order: list[str] = []

    def step(name: str) -> torch.Tensor:
        seen[name] += 1
        order.append(name)
        return torch.zeros(1)

    seconds = cost.seconds_each({name: lambda name=name: step(name) for name in "ab"}, 3)
    assert seen == {"a": 4, "b": 4}
    assert order[:4] == ["a", "b", "a", "b"]
    assert set(seconds) == {"a", "b"}
    assert min(seconds.values()) >= 0
