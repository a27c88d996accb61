"""`tts-meta train-vocoder`: train a light vocoder."""

from __future__ import annotations

from tts_meta.cli.console import command_line, print_on_first_rank
from tts_meta.cli.training import Changes, Device, Hours, Recipe, Threads, read_recipe, resumable


def train_vocoder(
    recipe: Recipe,
    hours: Hours = None,
    device: Device = None,
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Train a light vocoder, or go on where it was stopped.

    \b
    tts-meta train-vocoder recipes/librispeech_mini/vocoder.yaml --device cuda
    """
    from tts_meta.config import VocoderTrainConfig

    config = read_recipe(recipe, VocoderTrainConfig, changes, hours=hours, device=device, threads=threads)
    from tts_meta.train.vocoder import train_vocoder as train

    with resumable():
        print_on_first_rank(train(config, command_line()))
