"""The recipe that times inner steps: its gradients and its loop."""

from __future__ import annotations

from recipes.few_shot import cost
from tts_meta.adapt import adaptable_modules
from tts_meta.models.pretrained import Base


def test_a_step_is_the_gradient_of_the_adapted_modules(base: Base) -> None:
    for patterns in (("*",), ("speaker.mean",), ("*.bias",)):
        size = sum(module.size for module in adaptable_modules(base).select(patterns).modules)
        gradient = cost.steps_of(base, patterns, 0, 2 * cost.SENTENCE)[0]()
        assert gradient.shape == (1, size)
        assert gradient.isfinite().all()
        assert gradient.any()


def test_a_larger_batch_has_a_larger_gradient(base: Base) -> None:
    norms = [cost.steps_of(base, ("*",), 0, count * cost.SENTENCE)[0]().norm() for count in (1, 8)]
    assert norms[1] > 2 * norms[0]


def test_low_rank_has_fewer_parameters(base: Base) -> None:
    full, low = (cost.steps_of(base, ("*",), rank, cost.SENTENCE)[0]() for rank in (0, 1))
    assert low.numel() < full.numel()
    assert low.any()


def test_a_loop_moves_the_adapted_module_by_its_step_size(base: Base) -> None:
    moved = cost.steps_of(base, ("speaker.mean",), 0, cost.SENTENCE)[1]()
    assert moved.shape == (1, adaptable_modules(base).select(["speaker.mean"]).modules[0].size)
    assert 0 < float(moved.abs().max()) <= cost.LOOP * 3e-4 * 1.01
