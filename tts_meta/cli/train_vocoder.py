"""`tts-meta train-vocoder`: train a light vocoder."""

from __future__ import annotations

from tts_meta.cli.console import command_line, print_on_first_rank
from tts_meta.cli.options import Changes, Device, Recipe
from tts_meta.cli.training import MaxHours, Resume, Threads, read_recipe, resumable


def train_vocoder(
    recipe: Recipe,
    max_hours: MaxHours = None,
    device: Device = None,
    threads: Threads = None,
    changes: Changes = None,
    resume: Resume = None,
) -> None:
    """Train a vocoder, which turns spectrograms into sound.

    The vocoder is of the kind `light`. One vocoder serves all voices, and one is installed with the program. Train
    another only if your base model uses other spectrograms. To resume a run that was stopped, run the same command
    again.

    \b
    Examples:
      tts-meta train-vocoder recipes/librispeech_mini/vocoder.yaml
      tts-meta train-vocoder recipes/librispeech_mini/vocoder.yaml --device cuda --max-hours 1
    """
    from tts_meta.train.vocoder import VocoderTrainConfig
    from tts_meta.train.vocoder import train_vocoder as train

    config = read_recipe(
        recipe, VocoderTrainConfig, changes, device, max_hours=max_hours, threads=threads, resume=resume
    )
    with resumable():
        print_on_first_rank(train(config, command_line()))
