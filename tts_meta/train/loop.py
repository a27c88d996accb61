"""`fit`: the loop of one training stage, which resumes, steps, logs, samples and saves."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import torch
from rich.progress import Progress, TaskID
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_meta.audio.mel import MelConfig
from tts_meta.errors import TtsMetaError
from tts_meta.report.log import Log, NullLog
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog
from tts_meta.train.checkpoint_history import NEWEST, CheckpointHistory
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.distributed import all_agree, all_reduce_gradients, all_reduce_sum, barrier, rank_and_world
from tts_meta.train.optimiser import build_optimiser, clip_gradients, set_learning_rate, update_average, weight_average
from tts_meta.train.run_dir import progress_bar
from tts_meta.train.training_config import FitSettings

_MAX_BAD_STEPS = 20
"""Training stops after this many steps in a row whose gradient is not finite."""


class TrainingBatch(Protocol):
    """A micro-batch: the data that a process computes at a time. `all_frames` `()`: mel frames of the whole step."""

    @property
    def all_frames(self) -> Tensor: ...

    def to(self, device: torch.device | str) -> Self: ...


AnyBatch = TypeVar("AnyBatch", bound=TrainingBatch)
AnyBatchOut = TypeVar("AnyBatchOut", bound=TrainingBatch, covariant=True)


class Stream(Protocol[AnyBatchOut]):
    """Endless micro-batches in an order that `seed` determines; it can start at any position.

    accumulate: number of micro-batches of each process in a step; every process has the same number.
    """

    seed: int
    accumulate: int

    def batches(
        self, epoch: int, position: int, group: int = 1
    ) -> Generator[tuple[int, int, AnyBatchOut | None], None, None]:
        """Yield (epoch, position of the next step, micro-batch) from the step at `position` of `epoch` on.

        A micro-batch is None if the step has no data for it. group: number of processes with which the run began.
        """
        ...


def fit(
    stage: str,
    model: nn.Module,
    loss: Callable[[AnyBatch, int], tuple[Tensor, dict[str, Tensor]]],
    stream: Stream[AnyBatch],
    settings: FitSettings,
    folder: Path,
    mel_config: MelConfig,
    sample: Callable[[Log, int], float | None] = lambda log, step: None,
    clipped: Sequence[nn.Module] = (),
    info: RunInfo | None = None,
) -> int:
    """Train `model` for `settings.optimiser.steps` steps, put the moving average into it, and return the steps done.

    `loss(batch, step)` returns the loss and further scalars to log. `sample(log, step)` is called every `sample_every`
    steps, with the averaged weights in the model, and may return a validation loss. `clipped`: parts of the model whose
    gradients are clipped separately; by default the gradient of the whole model is clipped. `info` is logged first. The
    newest checkpoint is in `folder/training` (`CheckpointHistory`), and training continues from it. The steps done are
    fewer than all if the deadline comes first. Raises TtsMetaError if `_MAX_BAD_STEPS` steps in a row are not finite.

    A step computes the gradients of `stream.accumulate` micro-batches in each process of `torchrun`, and adds them: in
    the process first, then over the processes by one all-reduce. `loss` must return a sum divided by the size of the
    whole step (`all_frames`). So a step is the step on all its data at once, except for the random numbers of dropout,
    and a run may continue with another number of processes. The first process logs, samples and saves.

    The function is longer than a screen because the loop is to be read from top to bottom.
    """
    rank, world = rank_and_world()
    optimiser = build_optimiser(model, settings.optimiser)
    average = weight_average(model, settings.ema_decay)
    history = CheckpointHistory(folder, settings.keep_last, settings.keep_best)
    steps, validation, resumed_from = settings.optimiser.steps, None, None
    step, epoch, position, group, bad_steps = 0, 0, 0, world, 0
    state = history.restore(lambda path: load_checkpoint(path, model, optimiser, average), settings.resume)
    if state is not None:
        step, epoch, position = state["step"], state.get("epoch", 0), state.get("position", 0)
        group, validation = state.get("group", world), state.get("validation_loss")
        resumed_from = state.get("resumed_from")
        if step > steps:
            raise TtsMetaError(f"{folder / NEWEST}: at step {step} of {steps}; delete it to start again")
    barrier()

    def save() -> None:
        state = {"step": step, "epoch": epoch, "position": position, "group": group, "validation_loss": validation}
        state |= {"resumed_from": resumed_from}
        history.save(lambda path: save_checkpoint(path, model, optimiser, average, state), step)

    with (
        TensorBoardLog(folder, mel_config, resume_step=step + 1) if rank == 0 else NullLog() as log,
        progress_bar(rank) as progress,
        closing(stream.batches(epoch, position, group)) as batches,
    ):
        if info is not None:
            info.log(log, step)
        task = progress.add_task(stage, total=steps, completed=step, note="")
        model.train()
        started, frames_seen = time.monotonic(), 0
        while step < steps and all_agree(time.monotonic() < settings.deadline):
            learning_rate = set_learning_rate(optimiser, settings.optimiser, step)
            # The random numbers of a step depend on no earlier step, so that no process has to save its random state.
            torch.manual_seed(random.Random(f"{stream.seed}/{stage}/{step}/{rank}").getrandbits(63))
            optimiser.zero_grad()
            done = _add_gradients(loss, batches, stream.accumulate, step, settings)
            epoch, position = done.epoch, done.position
            all_reduce_gradients(model.parameters())
            norm = clip_gradients(clipped or [model], settings.optimiser.clip)
            if torch.isfinite(norm):
                optimiser.step()
                update_average(average, model, step)
                bad_steps = 0
            else:
                bad_steps += 1
                if bad_steps == _MAX_BAD_STEPS:
                    raise TtsMetaError(f"{stage}: {bad_steps} steps in a row were not finite; lower learning_rate")
            step += 1
            progress.update(task, completed=step)
            frames_seen += done.frames

            if step % settings.log_every == 0:
                seconds_of_speech = frames_seen * mel_config.frame_seconds
                speed = seconds_of_speech / (time.monotonic() - started)
                scalars = done.scalars | {"loss": all_reduce_sum(done.loss), "gradient_norm": norm}
                scalars |= {"learning_rate": torch.tensor(learning_rate)}
                _log_step(log, progress, task, stage, f"{step}/{steps}", step, scalars, speed)
                started, frames_seen = time.monotonic(), 0
            validation = None
            if rank == 0 and step % settings.sample_every == 0:
                validation = _with_average(model, average, lambda at=step: sample(log, at))
                log.flush()
                started, frames_seen = time.monotonic(), 0
            if rank == 0 and (step % settings.save_every == 0 or (settings.keep_best and validation is not None)):
                save()
        if rank == 0:
            save()
    barrier()
    model.load_state_dict(average.module.state_dict())
    model.eval()
    return step


@dataclass
class _Step:
    """What the micro-batches of a step added up to in this process.

    loss: this process's share of the loss of the step, `()`. scalars: means over its micro-batches. frames: mel frames
    of the whole step. epoch, position: where the next step begins.
    """

    loss: Tensor
    scalars: dict[str, Tensor]
    frames: int
    epoch: int
    position: int


def _add_gradients(
    loss: Callable[[AnyBatch, int], tuple[Tensor, dict[str, Tensor]]],
    batches: Iterator[tuple[int, int, AnyBatch | None]],
    accumulate: int,
    step: int,
    settings: FitSettings,
) -> _Step:
    """Add the gradients of the next `accumulate` micro-batches to those of the parameters."""
    device_type, parts = torch.device(settings.device).type, list[dict[str, Tensor]]()
    done = _Step(torch.zeros((), device=settings.device), {}, 0, 0, 0)
    for _ in range(accumulate):
        done.epoch, done.position, batch = next(batches)
        if batch is None:
            continue
        with torch.autocast(device_type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            value, scalars = loss(batch.to(settings.device), step)
        value.backward()
        done.loss += value.detach()
        done.frames = int(batch.all_frames)
        parts.append(scalars)
    names = parts[0] if parts else {}
    done.scalars = {name: torch.stack([scalars[name].detach() for scalars in parts]).mean() for name in names}
    return done


def _log_step(
    log: Log,
    progress: Progress,
    task: TaskID,
    stage: str,
    position: str,
    step: int,
    scalars: Mapping[str, Tensor],
    speed: float,
) -> None:
    """Log the scalars of a step and show its loss; `speed` is in seconds of speech per second."""
    for name, scalar in scalars.items():
        log.scalar(f"{stage}/{name}", scalar.detach(), step)
    log.scalar(f"{stage}/seconds_of_speech_per_second", speed, step)
    note = f"loss {float(scalars['loss']):.3f}, {speed:.0f} s of speech per second"
    progress.update(task, note=note)
    if not progress.console.is_terminal:
        progress.console.print(f"{stage} {position}: {note}")


def _with_average(model: nn.Module, average: AveragedModel, call: Callable[[], float | None]) -> float | None:
    """Call with the averaged weights in evaluation mode, then put the trained weights back.

    Returns what the call returns, or None if it is not finite.
    """
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average.module.state_dict())
    model.eval()
    try:
        with torch.inference_mode():
            value = call()
    finally:
        model.load_state_dict(trained)
        model.train()
    return value if value is not None and math.isfinite(value) else None
