"""Measure the time of an inner step: by adapted modules, by kind of operation, and for several speakers in one batch.

Command: python -m recipes.few_shot.cost [--threads N]

The command takes a minute and prints tables. The size of the model is that of the shipped base. A step has 1,600 frames
of random sentences. The script times the gradient alone, and the whole step with solver and prior. For several speakers
in one batch, the script times one speaker with a batch of this size. Several speakers are slower, because their weights
differ. The printed speed-up is therefore an upper bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recipes.recipe_io import markdown_table
from recipes.timing import profile_table, seconds_each
from tts_meta.adapt import AcousticTask, CloneSettings, acoustic_nll, chosen_modules
from tts_meta.cli import run_command
from tts_meta.corpus import Example
from tts_meta.meta import Adam, Likelihood, ParameterLayout, ShrinkagePrior, run_inner_loop
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.models.low_rank import low_rank
from tts_meta.models.pretrained import Base, load_base

FRAMES, SENTENCE, SPEAKERS, LOOP = 1600, 400, 8, 4
"""Frames of a step, frames of a sentence, speakers in a batch, and steps of a loop."""
ALL_MODULES = "every module, full rank"
CHOICES: dict[str, tuple[Sequence[str], int]] = {
    ALL_MODULES: (("*",), 0),
    "what `clone` adapts, rank 16": ((), 16),
    "every module, rank 16": (("*",), 16),
    "decoder and postnet": (("decoder", "postnet"), 0),
    "biases and speaker": (("speaker.mean", "*.bias"), 0),
    "speaker": (("speaker.mean",), 0),
    "durations": (("duration",), 0),
}
"""Patterns of the adapted modules, and the rank. Without patterns, the modules of `clone` adapt."""


def sentences(base: Base, count: int) -> list[Example]:
    """Return `count` random sentences with eight frames per symbol."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, len(base.symbols), (count, SENTENCE // 8), generator=generator)
    mels = torch.randn(count, SENTENCE, base.acoustic.n_mels, generator=generator)
    rows = enumerate(zip(tokens, mels, strict=True))
    return [Example(str(n), "new", row, torch.full_like(row, 8), mel) for n, (row, mel) in rows]


def steps_of(
    base: Base, patterns: Sequence[str], rank: int, frames: int
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Return two functions: for the gradient of an inner step of `frames` frames, and for a loop of `LOOP` steps.

    The second function returns the end point of the loop.
    """
    chosen = chosen_modules(base, CloneSettings(tuple(patterns)))
    model, adapted = low_rank(base.acoustic, chosen, rank) if rank else (base.acoustic, chosen)
    likelihood = Likelihood(
        model,
        acoustic_nll(base.acoustic),
        ParameterLayout.from_modules(model, adapted.modules),
    )
    start = parameter_vector(model, likelihood.adapted)
    point, prior = start[None].detach().requires_grad_(), ShrinkagePrior.isotropic(likelihood.adapted, 1.0)
    data = AcousticTask(base, sentences(base, frames // SENTENCE), chosen.names).task(None, frames, 0).at(0)

    def nll(params: Tensor, step: int = 0) -> Tensor:
        return likelihood.nll(params, torch.zeros(0), [data])

    def gradient() -> Tensor:
        return torch.autograd.grad(nll(point).sum(), point, materialize_grads=True)[0]

    def loop() -> Tensor:
        return run_inner_loop(nll, start, prior, Adam(), lambda step: 3e-4, LOOP)[0][-1]

    return gradient, loop


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 keeps the default of torch")
    parser.add_argument("--steps", type=int, default=8, help="timed steps, after one warm-up step")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    base = load_base()
    base.acoustic.requires_grad_(False)
    steps = {name: steps_of(base, *choice, FRAMES) for name, choice in CHOICES.items()}
    cost = seconds_each({name: gradient for name, (gradient, _) in steps.items()}, arguments.steps)
    loops = seconds_each({name: loop for name, (_, loop) in steps.items()}, max(2, arguments.steps // LOOP))
    print(f"**An inner step on {FRAMES:,} frames, {torch.get_num_threads()} threads**\n")
    rows = [
        [name, f"{cost[name]:.2f}", f"{loops[name] / LOOP:.2f}", f"{loops[ALL_MODULES] / loops[name]:.2f}"]
        for name in steps
    ]
    print(markdown_table(["Adapted modules", "Gradient, seconds", "Whole step, seconds", "Speed-up"], rows))
    print("**Step of every module by kind of operation**\n")
    print(profile_table(steps[ALL_MODULES][1]))

    batches = {
        name: steps_of(base, *CHOICES[name], SPEAKERS * FRAMES)[0] for name in (ALL_MODULES, "biases and speaker")
    }
    together = seconds_each(batches, max(2, arguments.steps // 4))
    print(f"**{SPEAKERS} speakers in one batch: upper bound of the speed-up over one after another**\n")
    rows = [[name, f"{SPEAKERS * cost[name] / value:.2f}"] for name, value in together.items()]
    print(markdown_table(["Adapted modules", "Speed-up"], rows))


if __name__ == "__main__":
    sys.exit(run_command(main))
