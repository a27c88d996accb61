"""What bounds a training step of the acoustic model on this machine.

python -m recipes.librispeech_mini.throughput [--threads N]      about a minute; tables on standard output

Steps of pretraining on random batches of 10,000 frames, as long as the recipe's: seconds of speech per second, and the
time of a step by kind of operation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch

from recipes.bench import markdown
from recipes.timing import profile_table, seconds_each
from tts_meta.cli import run_command
from tts_meta.corpus import Batch, Example, collate
from tts_meta.models.pretrained import Base, load_base
from tts_meta.train.optimiser import MovingAverage, OptimiserConfig, build_optimiser
from tts_meta.train.pretrain import acoustic_objective

FRAMES, PIECE, WHOLE = 10_000, 250, 1000
"""Frames of a batch, of a piece between pauses, and of a sentence left whole."""


def random_batch(base: Base, frames: int) -> Batch:
    """Sentences of so many frames each, eight a symbol, `FRAMES` in all."""
    generator = torch.Generator().manual_seed(0)
    examples = []
    for number in range(FRAMES // frames):
        tokens = torch.randint(1, len(base.symbols), (frames // 8,), generator=generator)
        mel = torch.randn(frames - frames % 8, base.acoustic.n_mels, generator=generator)
        examples.append(Example(str(number), base.speakers[0], tokens, torch.full_like(tokens, 8), mel))
    return collate(examples, {base.speakers[0]: 0}, base.acoustic.reduction)


def step_of(base: Base, batch: Batch, bfloat16: bool) -> Callable[[], None]:
    """A function that takes one step of training."""
    model = base.acoustic.requires_grad_(True).train()
    optimiser = build_optimiser(model, OptimiserConfig(steps=1, learning_rate=1e-5))
    average, objective = MovingAverage(model, 0.999), acoustic_objective(model, 1000)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            value, _ = objective(batch, 0)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model, 1000)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    parser.add_argument("--steps", type=int, default=6, help="steps that are timed, after one that is not")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    base = load_base()
    batches = {frames: random_batch(base, frames) for frames in (WHOLE, PIECE)}
    choices = {
        "float32, whole sentences": (WHOLE, False),
        "float32, pieces": (PIECE, False),
        "bfloat16, pieces (the recipe)": (PIECE, True),
    }
    steps = {name: step_of(base, batches[frames], bfloat16) for name, (frames, bfloat16) in choices.items()}
    frame = base.config.audio.mel.frame_seconds
    speeds = {
        name: int(batches[choices[name][0]].all_frames) * frame / seconds
        for name, seconds in seconds_each(steps, arguments.steps).items()
    }
    first = next(iter(speeds.values()))
    rows = [[name, f"{speed:.0f}", f"{speed / first:.2f}"] for name, speed in speeds.items()]
    print(f"**Training, {torch.get_num_threads()} threads**\n")
    print(markdown(["step", "seconds of speech a second", "times the first"], rows))
    print("**A step of the recipe by kind of operation**\n")
    print(profile_table(steps["bfloat16, pieces (the recipe)"], times=3))


if __name__ == "__main__":
    sys.exit(run_command(main))
