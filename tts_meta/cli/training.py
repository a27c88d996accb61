"""What the training verbs share: their options, the check of the device, and what a stop by the user says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tts_meta.cli.error_reporting import Interrupted
from tts_meta.errors import UsageError

if TYPE_CHECKING:
    from tts_meta.config import PretrainConfig, VocoderTrainConfig

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="What to train on and how.", show_default=False)]
Hours = Annotated[float | None, typer.Option(min=0, help="Stop, with a checkpoint, after so many hours; 0: no limit.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda, in place of the recipe's.")]
Threads = Annotated[int | None, typer.Option(min=0, help="CPU threads, in place of the recipe's; 0: torch's choice.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the recipe; repeatable.")
]
AnyTraining = TypeVar("AnyTraining", "PretrainConfig", "VocoderTrainConfig")


def read_recipe(
    path: Path, kind: type[AnyTraining], changes: Sequence[str] | None, **given: float | str | None
) -> AnyTraining:
    """The recipe with what was `given` by options in place of its own. Raises UsageError for a device not at hand."""
    from tts_meta.config import load_config

    config = load_config(path, kind, changes or ())
    config = config.model_copy(update={name: value for name, value in given.items() if value is not None})
    _check_device(config.device)
    return config


@contextmanager
def resumable() -> Iterator[None]:
    """Where the user stops the block, say how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; run the same command again to go on from the last checkpoint") from error


def _check_device(name: str) -> None:
    import torch

    if name.split(":")[0] not in ("cpu", "cuda"):
        raise UsageError(f"no device '{name}'; use cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("no CUDA device is at hand; use --device cpu")
