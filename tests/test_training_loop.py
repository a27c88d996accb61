from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import interrupted
from helpers import same_weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from toy_training import OPTIMISER, SETTINGS, Toy, replace_optimiser, stream, toy, train

from tts_meta.audio.mel import MelConfig
from tts_meta.corpus import Batch
from tts_meta.errors import TtsMetaError
from tts_meta.report.log import Log
from tts_meta.train import loop as fit_module
from tts_meta.train.checkpoints import load_checkpoint
from tts_meta.train.loop import fit
from tts_meta.train.optimiser import (
    build_optimiser,
    weight_average,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The weights of a run that nothing stopped."""
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("steps_before", [0, 1, 4, 6, 9])
def test_a_run_that_died_and_went_on_has_the_same_weights_bit_for_bit(
    whole: Toy, tmp_path: Path, steps_before: int
) -> None:
    with interrupted(steps_before):
        train(tmp_path)
    assert same_weights(train(tmp_path), whole)


class Clock:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_a_run_out_of_time_keeps_its_state_and_goes_on_from_there(
    whole: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "time", Clock())
        train(tmp_path, replace(SETTINGS, deadline=10.5))
    step = json.loads((tmp_path / "training" / "state.json").read_text())["step"]
    assert 0 < step < OPTIMISER.steps and step % SETTINGS.save_every
    assert same_weights(train(tmp_path), whole)


def test_a_finished_run_called_again_changes_nothing(whole: Toy, tmp_path: Path) -> None:
    train(tmp_path)
    content = (tmp_path / "training" / "tensors.safetensors").read_bytes()
    assert same_weights(train(tmp_path), whole)
    assert (tmp_path / "training" / "tensors.safetensors").read_bytes() == content


def test_what_is_left_in_the_model_is_the_moving_average_in_evaluation_mode(whole: Toy, tmp_path: Path) -> None:
    model = train(tmp_path)
    average = weight_average(model, 0.9)
    state = load_checkpoint(tmp_path / "training", toy(), build_optimiser(toy(), OPTIMISER), average)
    assert same_weights(model.state_dict(), average.module) and not model.training
    assert state["step"] == 10 and int(model.get_buffer("calls")) == 10


def test_sampling_sees_the_average_and_does_not_disturb_the_training(whole: Toy, tmp_path: Path) -> None:
    seen: list[int] = []

    def sample(log: Log, step: int) -> None:
        torch.randn(1000)
        assert torch.is_inference_mode_enabled()
        log.scalar("validation/x", 1.0, step)
        seen.append(step)

    model = train(tmp_path, replace(SETTINGS, sample_every=3), sample)
    assert seen == [3, 6, 9] and same_weights(model, whole)


def test_scalars_of_the_loss_the_gradient_and_the_speed_are_logged(tmp_path: Path) -> None:
    train(tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    names = ["gradient_norm", "learning_rate", "loss", "seconds_of_speech_per_second", "twice"]
    assert sorted(events.Tags()["scalars"]) == [f"toy/{name}" for name in names]
    assert [event.step for event in events.Scalars("toy/loss")] == [2, 4, 6, 8, 10]
    assert events.Scalars("toy/twice")[0].value == pytest.approx(2 * events.Scalars("toy/loss")[0].value)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    train(tmp_path, replace(SETTINGS, optimiser=OPTIMISER.model_copy(update={"steps": 40})))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    losses = [event.value for event in events.Scalars("toy/loss")]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("bad", [(2,), (2, 3)])
def test_a_step_that_is_not_finite_is_left_out(tmp_path: Path, bad: tuple[int, ...]) -> None:
    model = toy()

    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        value = model(batch.mel).abs().mean()
        return value * (math.nan if step in bad else 1.0), {}

    assert fit("toy", model, loss, stream(), SETTINGS, tmp_path, MelConfig()) == 10
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_losses_that_stay_not_finite_end_the_run(tmp_path: Path) -> None:
    model = toy()
    settings = replace(SETTINGS, optimiser=OPTIMISER.model_copy(update={"steps": 100}))
    with pytest.raises(TtsMetaError, match="toy: 20 steps in a row were not finite; lower learning_rate"):
        fit(
            "toy",
            model,
            lambda batch, step: (model(batch.mel).sum() * math.nan, {}),
            stream(),
            settings,
            tmp_path,
            MelConfig(),
        )


class Players(nn.Module):
    """Two layers that lower losses of very different size."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = toy(0).layer, toy(1).layer


@pytest.mark.parametrize("apart", [False, True])
def test_a_player_with_a_large_gradient_does_not_shorten_the_others_step(apart: bool, tmp_path: Path) -> None:
    """With stochastic gradient descent in place of AdamW, which would scale the step back."""

    def weights(size: float) -> Tensor:
        players = Players()

        def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            own = players.generator(batch.mel).square().mean()
            return own + size * players.discriminator(batch.mel).square().mean(), {}

        one_step = replace(SETTINGS, optimiser=replace_optimiser(steps=1, clip=0.1), ema_decay=0.0)
        parts = [players.generator, players.discriminator] if apart else ()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fit_module, "build_optimiser", lambda model, config: torch.optim.SGD(model.parameters(), 0.1))
            fit("s", players, loss, stream(), one_step, tmp_path / f"{size}", MelConfig(), clipped=parts)
        return players.generator.weight.detach().clone()

    assert torch.equal(weights(1.0), weights(1e4)) == apart
