from __future__ import annotations

from collections import Counter

import torch

from recipes import timing


def test_operations_are_told_apart_by_name() -> None:
    kinds = [timing.kind_of(name) for name in ("aten::mkldnn_rnn_layer", "aten::convolution_backward", "aten::addmm")]
    assert kinds == ["LSTM", "convolution", "matrix product"]
    assert timing.kind_of("aten::_fused_adamw_") == "optimiser and average"
    assert timing.kind_of("aten::gelu") == "other"


def test_steps_are_timed_in_turns_and_the_first_is_not_counted() -> None:
    seen: Counter[str] = Counter()
    order: list[str] = []

    def step(name: str) -> torch.Tensor:
        seen[name] += 1
        order.append(name)
        return torch.zeros(1)

    seconds = timing.seconds_each({name: lambda name=name: step(name) for name in "ab"}, 3)
    assert seen == {"a": 4, "b": 4}
    assert order[:4] == ["a", "b", "a", "b"]
    assert set(seconds) == {"a", "b"}
    assert min(seconds.values()) >= 0
