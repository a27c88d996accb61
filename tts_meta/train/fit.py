"""One training stage, read top to bottom: resume, then step, log, sample, save, until the steps or the time are up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from tts_meta.config import MelConfig, OptimiserConfig
from tts_meta.corpus import Batch
from tts_meta.errors import TtsMetaError
from tts_meta.files import restore_folder
from tts_meta.report.tensorboard import RunLog
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.data import BatchStream
from tts_meta.train.optimiser import MovingAverage, build_optimiser, set_learning_rate

_MOST_BAD_STEPS = 20


@dataclass(frozen=True)
class FitSettings:
    """What a stage needs of the configuration; `deadline` is a value of `time.monotonic` or infinity."""

    optimiser: OptimiserConfig
    ema: float
    device: str
    precision: str
    log_every: int
    save_every: int
    sample_every: int
    deadline: float


def fit(
    stage: str,
    model: nn.Module,
    loss: Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]],
    stream: BatchStream,
    settings: FitSettings,
    folder: Path,
    mel_config: MelConfig,
    sample: Callable[[RunLog, int], None] = lambda log, step: None,
) -> int:
    """Train `model` for `settings.optimiser.steps` steps and leave the moving average in it.

    `loss(batch, step)` returns what is minimised and further scalars to log; `sample(log, step)` is called with the
    averaged weights in place. The state lies in `folder/training` and is picked up where there is one. Returns the
    steps done, fewer than all where the deadline came first. Raises TtsMetaError where losses stay non-finite.
    """
    optimiser = build_optimiser(model, settings.optimiser)
    average = MovingAverage(model, settings.ema)
    checkpoint = folder / "training"
    step, epoch, position, bad_steps = 0, 0, 0, 0
    restore_folder(checkpoint)
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, model, optimiser, average)
        step, epoch, position = state["step"], state["epoch"], state["position"]
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with (
        RunLog(folder, mel_config, resume_step=step) as log,
        Progress(
            *columns, TextColumn("{task.fields[note]}"), TimeRemainingColumn(), console=Console(stderr=True)
        ) as progress,
    ):
        task = progress.add_task(stage, total=settings.optimiser.steps, completed=step, note="")
        model.train()
        began, frames_seen = time.monotonic(), 0
        batches = stream.batches(epoch, position)
        while step < settings.optimiser.steps and time.monotonic() < settings.deadline:
            epoch, position, batch = next(batches)
            rate = set_learning_rate(optimiser, settings.optimiser, step)
            with torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                value, scalars = loss(batch.to(settings.device), step)
            optimiser.zero_grad()
            value.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), settings.optimiser.clip)
            if torch.isfinite(norm):
                optimiser.step()
                average.update(model, step)
                bad_steps = 0
            else:
                bad_steps += 1
                if bad_steps == _MOST_BAD_STEPS:
                    raise TtsMetaError(f"{stage}: {bad_steps} steps in a row were not finite; lower learning_rate")
            step += 1
            frames_seen += int(batch.mel_lengths.sum())

            if step % settings.log_every == 0:
                speed = frames_seen * mel_config.frame_seconds / (time.monotonic() - began)
                scalars |= {"loss": value, "gradient_norm": norm, "learning_rate": torch.tensor(rate)}
                for name, scalar in scalars.items():
                    log.scalar(f"{stage}/{name}", scalar.detach(), step)
                log.scalar(f"{stage}/seconds_of_speech_per_second", speed, step)
                note = f"loss {float(value.detach()):.3f}, {speed:.0f} s of speech a second"
                progress.update(task, completed=step, note=note)
                if not progress.console.is_terminal:
                    progress.console.print(f"{stage} {step}/{settings.optimiser.steps}: {note}")
                began, frames_seen = time.monotonic(), 0
            if step % settings.sample_every == 0:
                _with_average(model, average, lambda at=step: sample(log, at))
                log.flush()
                began, frames_seen = time.monotonic(), 0
            if step % settings.save_every == 0:
                state = {"step": step, "epoch": epoch, "position": position}
                save_checkpoint(checkpoint, model, optimiser, average, state)
        save_checkpoint(checkpoint, model, optimiser, average, {"step": step, "epoch": epoch, "position": position})
    model.load_state_dict(average.state_dict())
    model.eval()
    return step


def _with_average(model: nn.Module, average: MovingAverage, call: Callable[[], None]) -> None:
    """Call with the averaged weights in evaluation mode, then put the trained ones and the random state back."""
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    model.load_state_dict(average.state_dict())
    model.eval()
    try:
        with torch.inference_mode():
            call()
    finally:
        model.load_state_dict(trained)
        model.train()
        torch.set_rng_state(random)
