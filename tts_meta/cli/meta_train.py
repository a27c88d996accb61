"""`tts-meta meta-train`: learn which modules a voice is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import print_once
from tts_meta.cli.faults import Stopped


def meta_train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE.yaml", help="Whose sentences, and which learner.", show_default=False)
    ],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the recipe; repeatable.")
    ] = None,
) -> None:
    """Learn which modules voices differ in.

    Episodes of speakers meta-train a base; the same command again goes on where it was stopped.

    \b
    tts-meta meta-train recipes/librispeech_mini/meta_train.yaml --set learner=sigma-imaml
    """
    from tts_meta.config import load_config
    from tts_meta.train.meta_train import MetaTrainConfig
    from tts_meta.train.meta_train import meta_train as train

    config = load_config(recipe, MetaTrainConfig, changes or ())
    try:
        print_once(train(config))
    except KeyboardInterrupt as error:
        raise Stopped("stopped; run the same command again to go on from the last checkpoint") from error
