"""Settings that pretraining and vocoder training share, and the part of them that one stage reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tts_meta.config import DeviceName, Hours, Section, Seed, Share, Threads
from tts_meta.corpus.segments import MIN_SEGMENT_SECONDS, PAUSE_SECONDS
from tts_meta.train.optimiser import OptimiserConfig

Kept = Annotated[int, Field(ge=1, le=1000)]


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
    min_segment_seconds: float = Field(default=MIN_SEGMENT_SECONDS, ge=0)
    """Recordings are cut at pauses into segments of at least this length, so that batches are wide; 0: no cuts."""
    pause_seconds: float = Field(default=PAUSE_SECONDS, ge=0)
    """Shortest pause at which a recording is cut."""
    ema_decay: Share = 0.999
    """Decay of the moving average of the weights that is evaluated and shipped; 0 switches it off."""
    device: DeviceName = "auto"
    """Where to compute: `auto` (a GPU if there is one), `cpu`, `cuda` or `mps`."""
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
    """Steps between two validations, which log images and audio."""
    keep_last: Kept = 2
    """Number of the last checkpoints of each stage that are kept. A run continues from the last undamaged one."""
    keep_best: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of the checkpoints with the lowest validation losses that are kept too."""
    resume: Path | None = None
    """Checkpoint of this run to continue from, a folder `STAGE/checkpoints/step_N`; default: the newest."""
    max_hours: Hours = 0.0
    """This process saves a checkpoint and stops after this many hours; 0 means no limit."""


@dataclass(frozen=True)
class FitSettings:
    """The settings of one stage; `deadline` is a value of `time.monotonic`, or infinity.

    keep_last, keep_best: as in `CheckpointHistory`. resume: the checkpoint to continue from, None for the newest.
    """

    optimiser: OptimiserConfig
    ema_decay: float
    device: str
    precision: str
    log_every: int
    save_every: int
    sample_every: int
    deadline: float
    keep_last: int = 1
    keep_best: int = 0
    resume: Path | None = None

    @classmethod
    def of(cls, config: TrainingConfig, optimiser: OptimiserConfig, deadline: float, is_resumed: bool) -> FitSettings:
        """The settings of one stage of a run; a stage shorter than `sample_every` is sampled at its end.

        is_resumed: whether `config.resume` is a checkpoint of this stage.
        """
        names = ("ema_decay", "device", "precision", "log_every", "save_every", "keep_last", "keep_best")
        sample_every = max(1, min(config.sample_every, optimiser.steps))
        shared = {name: getattr(config, name) for name in names}
        resume = config.resume if is_resumed else None
        return cls(optimiser=optimiser, deadline=deadline, sample_every=sample_every, resume=resume, **shared)
