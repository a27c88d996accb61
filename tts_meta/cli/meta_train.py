"""`tts-meta meta-train`: learn which modules a voice is made of."""

from __future__ import annotations

from tts_meta.cli.console import command_line, print_on_first_rank
from tts_meta.cli.training import Changes, Recipe, resumable


def meta_train(
    recipe: Recipe,
    changes: Changes = None,
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
    with resumable():
        print_on_first_rank(train(config, command_line()))
