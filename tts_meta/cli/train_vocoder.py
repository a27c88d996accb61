"""`tts-meta train-vocoder`: train a light vocoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import print_once
from tts_meta.cli.faults import Stopped
from tts_meta.cli.pretrain import check_device


def train_vocoder(
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
    """Train a light vocoder, or go on where it was stopped.

    \b
    tts-meta train-vocoder recipes/librispeech_mini/vocoder.yaml --device cuda
    """
    from tts_meta.config import VocoderTrainConfig, load_config

    config = load_config(recipe, VocoderTrainConfig, changes or ())
    given = {"hours": hours, "device": device, "threads": threads}
    config = config.model_copy(update={name: value for name, value in given.items() if value is not None})
    check_device(config.device)
    from tts_meta.train.vocoder import train_vocoder as train

    try:
        print_once(train(config))
    except KeyboardInterrupt as error:
        raise Stopped("stopped; run the same command again to go on from the last checkpoint") from error
