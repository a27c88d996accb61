"""The training loop: resumption, the weight average, logs, steps that are not finite, and gradient clipping."""

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
from tts_meta.train.optimiser import build_optimiser, weight_average


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The model after a run without interruption."""
    return train(tmp_path_factory.mktemp("completed"))


@pytest.mark.parametrize("steps_before", [0, 1, 4, 6, 9])
def test_an_interrupted_run_resumes_to_the_same_weights_bit_for_bit(
    completed: Toy, tmp_path: Path, steps_before: int
) -> None:
    with interrupted(steps_before):
        train(tmp_path)
    assert same_weights(train(tmp_path), completed)


class Clock:
    """A clock that advances by one second at every call."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_a_run_out_of_time_saves_the_state_and_resumes_from_it(
    completed: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "time", Clock())
        train(tmp_path, replace(SETTINGS, deadline=10.5))
    step = json.loads((tmp_path / "training" / "state.json").read_text())["step"]
    assert 0 < step < OPTIMISER.steps and step % SETTINGS.save_every
    assert same_weights(train(tmp_path), completed)


def test_a_completed_run_changes_nothing_when_it_is_started_again(completed: Toy, tmp_path: Path) -> None:
    train(tmp_path)
    content = (tmp_path / "training" / "tensors.safetensors").read_bytes()
    assert same_weights(train(tmp_path), completed)
    assert (tmp_path / "training" / "tensors.safetensors").read_bytes() == content


def test_after_training_the_model_has_the_averaged_weights_and_is_in_evaluation_mode(
    completed: Toy, tmp_path: Path
) -> None:
    model = train(tmp_path)
    average = weight_average(model, 0.9)
    state = load_checkpoint(tmp_path / "training", toy(), build_optimiser(toy(), OPTIMISER), average)
    assert same_weights(model.state_dict(), average.module) and not model.training
    assert state["step"] == 10 and int(model.get_buffer("calls")) == 10


def test_sampling_runs_in_inference_mode_and_does_not_change_the_training(completed: Toy, tmp_path: Path) -> None:
    steps: list[int] = []

    def sample(log: Log, step: int) -> None:
        torch.randn(1000)
        assert torch.is_inference_mode_enabled()
        log.scalar("validation/x", 1.0, step)
        steps.append(step)

    model = train(tmp_path, replace(SETTINGS, sample_every=3), sample)
    assert steps == [3, 6, 9] and same_weights(model, completed)


def test_the_loss_the_gradient_norm_and_the_speed_are_logged(tmp_path: Path) -> None:
    train(tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    names = ["gradient_norm", "learning_rate", "loss", "seconds_of_speech_per_second", "twice"]
    assert sorted(events.Tags()["scalars"]) == [f"toy/{name}" for name in names]
    assert [event.step for event in events.Scalars("toy/loss")] == [2, 4, 6, 8, 10]
    assert events.Scalars("toy/twice")[0].value == pytest.approx(2 * events.Scalars("toy/loss")[0].value)


def test_the_progress_shows_the_steps_of_a_stage_that_is_shorter_than_a_line_of_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, replace(SETTINGS, log_every=50))
    assert "10/10" in capsys.readouterr().err


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    train(tmp_path, replace(SETTINGS, optimiser=OPTIMISER.model_copy(update={"steps": 40})))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    losses = [event.value for event in events.Scalars("toy/loss")]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("bad", [(2,), (2, 3)])
def test_a_step_whose_loss_is_not_finite_is_skipped(tmp_path: Path, bad: tuple[int, ...]) -> None:
    model = toy()

    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        value = model(batch.mel).abs().mean()
        return value * (math.nan if step in bad else 1.0), {}

    assert fit("toy", model, loss, stream(), SETTINGS, tmp_path, MelConfig()) == 10
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_twenty_steps_in_a_row_that_are_not_finite_end_the_run(tmp_path: Path) -> None:
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


class TwoNetworks(nn.Module):
    """A generator and a discriminator, each one layer, with losses of different scales."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = toy(0).layer, toy(1).layer


@pytest.mark.parametrize("separate", [False, True])
def test_a_large_gradient_shortens_the_step_of_another_module_only_if_they_are_clipped_together(
    separate: bool, tmp_path: Path
) -> None:
    """With stochastic gradient descent, because the step of AdamW does not depend on the scale of the gradient."""

    def generator_weights(scale: float) -> Tensor:
        networks = TwoNetworks()

        def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            generator_loss = networks.generator(batch.mel).square().mean()
            return generator_loss + scale * networks.discriminator(batch.mel).square().mean(), {}

        one_step = replace(SETTINGS, optimiser=replace_optimiser(steps=1, clip=0.1), ema_decay=0.0)
        clipped = [networks.generator, networks.discriminator] if separate else ()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fit_module, "build_optimiser", lambda model, config: torch.optim.SGD(model.parameters(), 0.1))
            fit("s", networks, loss, stream(), one_step, tmp_path / f"{scale}", MelConfig(), clipped=clipped)
        return networks.generator.weight.detach().clone()

    assert torch.equal(generator_weights(1.0), generator_weights(1e4)) == separate
