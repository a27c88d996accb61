"""`tts-meta pretrain`: train a base model."""

from __future__ import annotations

from tts_meta.cli.console import command_line, print_on_first_rank
from tts_meta.cli.options import Changes, Device, Recipe
from tts_meta.cli.training import MaxHours, Resume, Threads, read_recipe, resumable


def pretrain(
    recipe: Recipe,
    max_hours: MaxHours = None,
    device: Device = None,
    threads: Threads = None,
    changes: Changes = None,
    resume: Resume = None,
) -> None:
    """Train a base model on recordings of many speakers.

    The base model is the text-to-speech model that `tts-meta clone` adapts to a new speaker. Training first learns when
    each sound of a transcript is spoken (the aligner), then how to predict spectrograms from text (the acoustic model).
    Checkpoints, TensorBoard logs and the finished base go into the output folder of the recipe. To resume a run that
    was stopped, run the same command again. To use several processes, start the command with torchrun: see
    docs/training.md.

    \b
    Examples:
      tts-meta pretrain recipes/librispeech_mini/pretrain.yaml
      tts-meta pretrain recipes/librispeech_mini/pretrain.yaml --max-hours 2 --set seed=1
    """
    from tts_meta.train.pretrain import PretrainConfig
    from tts_meta.train.pretrain import pretrain as train

    config = read_recipe(recipe, PretrainConfig, changes, device, max_hours=max_hours, threads=threads, resume=resume)
    with resumable():
        print_on_first_rank(train(config, command_line()))
