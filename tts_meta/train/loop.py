"""One training stage, read top to bottom: resume, then step, log, sample, save, until the steps or the time are up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Hours, Section, Seed, Share, Threads
from tts_meta.errors import TtsMetaError
from tts_meta.files import restore_folder
from tts_meta.report.log import Log, NullLog
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.distributed import add_gradients, all_agree, all_reduce_sum, barrier, rank_and_world
from tts_meta.train.optimiser import MovingAverage, OptimiserConfig, build_optimiser, clip_gradients, set_learning_rate
from tts_meta.train.run_dir import progress_bar

_MOST_BAD_STEPS = 20


class TrainingConfig(Section):
    """Settings that pretraining and vocoder training share."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: list[str] = Field(default=["train"])
    """Splits of the manifest to train on."""
    held_out_speakers: list[str] = Field(default=[])
    """Speakers of those splits that are kept for validation and tuning; no model is trained on them."""
    output: Path
    """Folder of the run: checkpoints and TensorBoard logs."""
    min_segment_seconds: float = Field(default=2.5, ge=0)
    """Recordings are cut at pauses into segments of at least this length, so that batches are wide; 0: no cuts."""
    pause_seconds: float = Field(default=0.1, ge=0)
    """Shortest pause at which a recording is cut."""
    ema: Share = 0.999
    """Decay of the moving average of the weights that is evaluated and shipped; 0 switches it off."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes matrix products in bfloat16 under autocast."""
    threads: Threads = 0
    """CPU threads of each process; 0 leaves torch's default."""
    workers: int = Field(default=2, gt=0, le=256)
    """Threads of each process that load recordings and collate batches ahead of the training step."""
    seed: Seed = 0
    """Seed of weights, batch order, crops, noise and dropout."""
    log_every: int = Field(default=20, gt=0)
    """Steps between two lines of scalars."""
    save_every: int = Field(default=300, gt=0)
    """Steps between two checkpoints."""
    sample_every: int = Field(default=1000, gt=0)
    """Steps between two validations, which log pictures and audio."""
    max_hours: Hours = 0.0
    """This process saves a checkpoint and stops after this many hours; 0 means no limit."""


class TrainingBatch(Protocol):
    """What one step reads; all_frames `()`: mel frames of it, or of the whole where it is one process's part."""

    @property
    def all_frames(self) -> Tensor: ...

    def to(self, device: torch.device | str) -> Self: ...


AnyBatch = TypeVar("AnyBatch", bound=TrainingBatch)
AnyBatchOut = TypeVar("AnyBatchOut", bound=TrainingBatch, covariant=True)


class Stream(Protocol[AnyBatchOut]):
    """Endless batches in an order that its seed settles, from any place on."""

    seed: int

    def batches(self, epoch: int, position: int) -> Generator[tuple[int, int, AnyBatchOut | None], None, None]:
        """Yield (epoch, position of the next batch, batch) from batch `position` of `epoch` on."""
        ...


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

    @classmethod
    def of(cls, config: TrainingConfig, optimiser: OptimiserConfig, deadline: float) -> FitSettings:
        """Those of one stage of a run; a stage shorter than `sample_every` is sampled at its end."""
        names = ("ema", "device", "precision", "log_every", "save_every")
        sample_every = max(1, min(config.sample_every, optimiser.steps))
        given = {name: getattr(config, name) for name in names}
        return cls(optimiser=optimiser, deadline=deadline, sample_every=sample_every, **given)


def fit(
    stage: str,
    model: nn.Module,
    loss: Callable[[AnyBatch, int], tuple[Tensor, dict[str, Tensor]]],
    stream: Stream[AnyBatch],
    settings: FitSettings,
    folder: Path,
    mel_config: MelConfig,
    sample: Callable[[Log, int], None] = lambda log, step: None,
    clipped: Sequence[nn.Module] = (),
    info: RunInfo | None = None,
) -> int:
    """Train `model` for `settings.optimiser.steps` steps and leave the moving average in it.

    `loss(batch, step)` returns what is minimised and further scalars to log; `sample(log, step)` is called every
    `sample_every` steps, with the averaged weights in place. `clipped`: parts of the model
    whose gradients are clipped each by its own norm; the whole model's where none is given. `info` is logged first.
    The state lies in `folder/training` and is picked up where there is one. Returns the steps done, fewer than all
    where the deadline came first. Raises TtsMetaError where losses stay non-finite.

    Under `torchrun` each process computes its part of every batch, and the gradients are added: `loss` must return a
    sum divided by what the whole batch holds (`all_frames`). So any number of processes takes the same steps, but
    for what dropout draws, and another number may go on with a run. The first one logs, samples and saves.
    """
    rank, _ = rank_and_world()
    optimiser = build_optimiser(model, settings.optimiser)
    average = MovingAverage(model, settings.ema)
    checkpoint = folder / "training"
    device_type = torch.device(settings.device).type
    step, epoch, position, bad_steps = 0, 0, 0, 0
    if rank == 0:
        restore_folder(checkpoint)
    barrier()
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, model, optimiser, average)
        step, epoch, position = state["step"], state.get("epoch", 0), state.get("position", 0)
        if step > settings.optimiser.steps:
            raise TtsMetaError(f"{checkpoint}: at step {step} of {settings.optimiser.steps}; delete it to start again")
    barrier()
    with (
        TensorBoardLog(folder, mel_config, resume_step=step + 1) if rank == 0 else NullLog() as log,
        progress_bar(rank) as progress,
        closing(stream.batches(epoch, position)) as batches,
    ):
        if info is not None:
            info.log(log, step)
        task = progress.add_task(stage, total=settings.optimiser.steps, completed=step, note="")
        model.train()
        began, frames_seen = time.monotonic(), 0
        while step < settings.optimiser.steps and all_agree(time.monotonic() < settings.deadline):
            epoch, position, batch = next(batches)
            rate = set_learning_rate(optimiser, settings.optimiser, step)
            # What is drawn in a step hangs on nothing before it, or each process's random state had to be kept.
            torch.manual_seed(random.Random(f"{stream.seed}/{stage}/{step}/{rank}").getrandbits(63))
            optimiser.zero_grad()
            value, scalars = torch.zeros((), device=settings.device), {}
            if batch is not None:
                with torch.autocast(device_type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                    value, scalars = loss(batch.to(settings.device), step)
                value.backward()
            add_gradients(model.parameters())
            norm = clip_gradients(clipped or [model], settings.optimiser.clip)
            if torch.isfinite(norm):
                optimiser.step()
                average.update(model, step)
                bad_steps = 0
            else:
                bad_steps += 1
                if bad_steps == _MOST_BAD_STEPS:
                    raise TtsMetaError(f"{stage}: {bad_steps} steps in a row were not finite; lower learning_rate")
            step += 1
            frames_seen += 0 if batch is None else int(batch.all_frames)

            if step % settings.log_every == 0:
                value = all_reduce_sum(value)
                speed = frames_seen * mel_config.frame_seconds / (time.monotonic() - began)
                scalars |= {"loss": value, "gradient_norm": norm, "learning_rate": torch.tensor(rate)}
                for name, scalar in scalars.items():
                    log.scalar(f"{stage}/{name}", scalar.detach(), step)
                log.scalar(f"{stage}/seconds_of_speech_per_second", speed, step)
                note = f"loss {float(value):.3f}, {speed:.0f} s of speech a second"
                progress.update(task, completed=step, note=note)
                if not progress.console.is_terminal:
                    progress.console.print(f"{stage} {step}/{settings.optimiser.steps}: {note}")
                began, frames_seen = time.monotonic(), 0
            if rank == 0 and step % settings.sample_every == 0:
                _with_average(model, average, lambda at=step: sample(log, at))
                log.flush()
                began, frames_seen = time.monotonic(), 0
            if rank == 0 and step % settings.save_every == 0:
                state = {"step": step, "epoch": epoch, "position": position}
                save_checkpoint(checkpoint, model, optimiser, average, state)
        if rank == 0:
            save_checkpoint(checkpoint, model, optimiser, average, {"step": step, "epoch": epoch, "position": position})
    barrier()
    model.load_state_dict(average.state_dict())
    model.eval()
    return step


def _with_average(model: nn.Module, average: MovingAverage, call: Callable[[], None]) -> None:
    """Call with the averaged weights in evaluation mode, then put the trained ones back."""
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average.state_dict())
    model.eval()
    try:
        with torch.inference_mode():
            call()
    finally:
        model.load_state_dict(trained)
        model.train()
