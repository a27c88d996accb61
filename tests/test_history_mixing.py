"""History mixing: the decoder reads its own predictions in inner steps, as often as the setting says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import same_weights, similar_examples
from torch import Tensor
from torch.nn import functional as F

from tts_meta.adapt import CloneSettings, clone_examples
from tts_meta.adapt.acoustic_task import AcousticTask
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.models.decoder import Decoder, DecoderConfig
from tts_meta.models.pretrained import Base

SETTINGS = CloneSettings(("decoder",), steps=4, learning_rate=1e-3)
STEPS, MELS = 400, 5


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    return similar_examples(base)


@pytest.fixture
def decoder() -> Decoder:
    """A decoder without dropout, so that only the mixing is random."""
    torch.manual_seed(0)
    return Decoder(DecoderConfig(reduction=2, prenet=8, channels=12, prenet_dropout=0.0), 6, MELS).double()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    context = torch.randn(2, STEPS, 6, generator=generator, dtype=torch.float64)
    return context, torch.randn(2, 2 * STEPS, MELS, generator=generator, dtype=torch.float64)


def history_of(decoder: Decoder, context: Tensor, frames: Tensor, share: float) -> Tensor:
    """The frames before each step that the prenet reads, `(B, STEPS, MELS)`."""
    seen = list[Tensor]()
    handle = decoder.prenet[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    decoder(context, frames, torch.Generator().manual_seed(2), share)
    handle.remove()
    return seen[-1]


def shifted(frames: Tensor) -> Tensor:
    """The last frame of each step, one step later, as the teacher-forced pass reads it."""
    return F.pad(frames.reshape(2, STEPS, 2, MELS)[:, :-1, -1], (0, 0, 1, 0))


def test_each_step_reads_a_recorded_or_a_predicted_frame_with_the_probability(
    decoder: Decoder, inputs: tuple[Tensor, Tensor]
) -> None:
    context, frames = inputs
    recorded, predicted = shifted(frames), shifted(decoder(context, frames))
    for share in (0.0, 0.3, 1.0):
        history = history_of(decoder, context, frames, share)[:, 1:]
        is_recorded = (history == recorded[:, 1:]).all(-1)
        is_predicted = torch.isclose(history, predicted[:, 1:], atol=1e-12, rtol=0).all(-1)
        assert bool((is_recorded ^ is_predicted).all())
        assert float(is_predicted.double().mean()) == pytest.approx(share, abs=0.07)


def test_the_gradient_does_not_pass_through_the_predictions(decoder: Decoder, inputs: tuple[Tensor, Tensor]) -> None:
    context, frames = inputs
    weight = decoder.output.weight

    def gradient(mixed: Tensor, share: float) -> Tensor:
        return torch.autograd.grad(decoder(context, mixed, share and torch.Generator(), share).square().sum(), weight)[
            0
        ]

    with torch.no_grad():
        predicted = decoder(context, frames)
    torch.testing.assert_close(gradient(frames, 1.0), gradient(predicted, 0.0))
    assert not torch.allclose(gradient(frames, 1.0), gradient(frames, 0.0))


def test_the_setting_changes_voices_and_the_same_seed_gives_the_same_voice(base: Base, examples: list[Example]) -> None:
    plain, mixed, again = (
        clone_examples(base, examples, replace(SETTINGS, history_mixing=share)) for share in (0.0, 0.5, 0.5)
    )
    assert same_weights(mixed.deltas, again.deltas)
    assert not same_weights(mixed.deltas, plain.deltas)


def test_only_inner_steps_are_mixed(base: Base, examples: list[Example]) -> None:
    task = AcousticTask(base, examples, ("decoder",)).task(None, 800, 0, history_mixing=0.5)
    assert task.draw is not None
    assert task.draw(0).history_mixing == 0.5
    assert {batch.history_mixing for batch in task.support} == {0.0}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_probability_out_of_range_is_refused(base: Base, examples: list[Example], share: float) -> None:
    with pytest.raises(UsageError, match="history_mixing must be"):
        clone_examples(base, examples, replace(SETTINGS, history_mixing=share))
