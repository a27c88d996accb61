"""Options of the training verbs, reading of their recipes, and the message after an interruption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tts_meta.cli.error_reporting import Interrupted

if TYPE_CHECKING:
    from tts_meta.evaluate.benchmark_config import BenchmarkConfig
    from tts_meta.train.meta_train import MetaTrainConfig
    from tts_meta.train.training_config import TrainingConfig

MaxHours = Annotated[
    float | None,
    typer.Option(
        metavar="HOURS",
        min=0,
        help="Save a checkpoint and stop after this many hours; 0 means no limit.",
        show_default="as in recipe",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="CPU threads; 0 leaves the choice to PyTorch.", show_default="as in recipe"),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="CHECKPOINT",
        help="Continue from this checkpoint of the run, a folder named step_N, and remove the later ones.",
        show_default="the newest",
    ),
]
AnyTraining = TypeVar("AnyTraining", bound="TrainingConfig")
AnyConfig = TypeVar("AnyConfig", bound="TrainingConfig | MetaTrainConfig | BenchmarkConfig")


def read_recipe(
    path: Path,
    config_class: type[AnyTraining],
    changes: Sequence[str] | None,
    device: str | None,
    **options: float | Path | None,
) -> AnyTraining:
    """Load a recipe; options that are not None replace its values. Raises UsageError for an unavailable device."""
    from tts_meta.config import load_config

    config = load_config(path, config_class, changes or ())
    config = config.model_copy(update={name: value for name, value in options.items() if value is not None})
    return with_device(config, device)


def with_device(config: AnyConfig, device: str | None) -> AnyConfig:
    """Return the settings with this device, if it is not None. Raises UsageError if the device is not available."""
    from tts_meta.devices import choose_device

    config = config if device is None else config.model_copy(update={"device": device})
    choose_device(config.device)
    return config


@contextmanager
def resumable() -> Iterator[None]:
    """If the user interrupts the block, raise an error that says how to resume."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; run the same command again to continue from the last checkpoint") from error
