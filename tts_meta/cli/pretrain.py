"""`tts-meta pretrain`: train a base voice."""

from __future__ import annotations

from tts_meta.cli.console import command_line, print_on_first_rank
from tts_meta.cli.training import Changes, Device, Hours, Recipe, Threads, read_recipe, resumable


def pretrain(
    recipe: Recipe,
    hours: Hours = None,
    device: Device = None,
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Train a base voice, or go on where it was stopped.

    \b
    tts-meta pretrain recipes/librispeech_mini/pretrain.yaml --hours 2
    """
    from tts_meta.config import PretrainConfig

    config = read_recipe(recipe, PretrainConfig, changes, hours=hours, device=device, threads=threads)
    from tts_meta.train.pretrain import pretrain as train

    with resumable():
        print_on_first_rank(train(config, command_line()))
