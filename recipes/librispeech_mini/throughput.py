"""Measure what limits the speed of a training step of the acoustic model on this machine.

python -m recipes.librispeech_mini.throughput [--threads N]      about a minute; prints tables

Steps of pretraining run on random batches of 10,000 frames, as in the recipe. The tables show seconds of speech per
second, and the share of each kind of operation in the time of a step.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch

from recipes.recipe_io import markdown_table
from recipes.timing import profile_table, seconds_each
from tts_meta.cli import run_command
from tts_meta.corpus import Batch, Example, collate
from tts_meta.models.pretrained import Base, load_base
from tts_meta.train.optimiser import OptimiserConfig, build_optimiser, update_average, weight_average
from tts_meta.train.pretrain import acoustic_objective

FRAMES, SEGMENT, SENTENCE = 10_000, 250, 1000
"""Mel frames of a batch, of a segment between pauses, and of a whole sentence."""
RECIPE = "bfloat16, segments (the recipe)"


def random_batch(base: Base, frames: int, total: int | None = None) -> Batch:
    """Random utterances of `frames` frames, eight frames per symbol, `total` frames in total; default: `FRAMES`."""
    generator = torch.Generator().manual_seed(0)
    examples = []
    for number in range((total or FRAMES) // frames):
        tokens = torch.randint(1, len(base.symbols), (frames // 8,), generator=generator)
        mel = torch.randn(frames - frames % 8, base.acoustic.n_mels, generator=generator)
        examples.append(Example(str(number), base.speakers[0], tokens, torch.full_like(tokens, 8), mel))
    return collate(examples, {base.speakers[0]: 0}, base.acoustic.reduction)


def training_step(base: Base, batch: Batch, bfloat16: bool) -> Callable[[], None]:
    """A function that takes one step of training on the batch."""
    model = base.acoustic.requires_grad_(True).train()
    optimiser = build_optimiser(model, OptimiserConfig(steps=1, learning_rate=1e-5))
    average, objective = weight_average(model, 0.999), acoustic_objective(model, 1000)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, _ = objective(batch, 0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        update_average(average, model, 1000)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; default: PyTorch's choice")
    parser.add_argument("--steps", type=int, default=6, help="timed steps, after one that is not timed; default: 6")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    base = load_base()
    batches = {frames: random_batch(base, frames) for frames in (SENTENCE, SEGMENT)}
    variants = {
        "float32, whole sentences": (SENTENCE, False),
        "float32, segments": (SEGMENT, False),
        RECIPE: (SEGMENT, True),
    }
    steps = {name: training_step(base, batches[frames], bfloat16) for name, (frames, bfloat16) in variants.items()}
    frame_seconds = base.config.audio.mel.frame_seconds
    speeds = {
        name: int(batches[variants[name][0]].all_frames) * frame_seconds / seconds
        for name, seconds in seconds_each(steps, arguments.steps).items()
    }
    first = next(iter(speeds.values()))
    rows = [[name, f"{speed:.0f}", f"{speed / first:.2f}"] for name, speed in speeds.items()]
    print(f"**Training, {torch.get_num_threads()} threads**\n")
    print(markdown_table(["step", "seconds of speech per second", "relative to the first row"], rows))
    print("**A step of the recipe by kind of operation**\n")
    print(profile_table(steps[RECIPE], times=3))


if __name__ == "__main__":
    sys.exit(run_command(main))
