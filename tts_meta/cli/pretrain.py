"""`tts-meta pretrain`: train a base voice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import print_once
from tts_meta.cli.faults import Stopped
from tts_meta.errors import UsageError


def pretrain(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE.yaml", help="What to train on and how.", show_default=False)
    ],
    hours: Annotated[
        float | None, typer.Option(min=0, help="Stop, with a checkpoint, after so many hours; 0: no limit.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda, in place of the recipe's.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, help="CPU threads, in place of the recipe's; 0: torch's choice.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the recipe; repeatable.")
    ] = None,
) -> None:
    """Train a base voice, or go on where it was stopped.

    \b
    tts-meta pretrain recipes/librispeech_mini/pretrain.yaml --hours 2
    """
    from tts_meta.config import PretrainConfig, load_config

    config = load_config(recipe, PretrainConfig, changes or ())
    given = {"hours": hours, "device": device, "threads": threads}
    config = config.model_copy(update={name: value for name, value in given.items() if value is not None})
    check_device(config.device)
    from tts_meta.train.pretrain import pretrain as train

    try:
        print_once(train(config))
    except KeyboardInterrupt as error:
        raise Stopped("stopped; run the same command again to go on from the last checkpoint") from error


def check_device(name: str) -> None:
    import torch

    if name.split(":")[0] not in ("cpu", "cuda"):
        raise UsageError(f"no device '{name}'; use cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("no CUDA device is at hand; use --device cpu")
