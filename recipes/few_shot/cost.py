"""What an inner step costs by what adapts, what bounds it, and what adapting speakers in one batch could save.

python -m recipes.few_shot.cost [--threads N]      two minutes; tables on standard output

Steps on 1,600 frames of random sentences, the base's sizes. Speakers in one batch have weights of their own, which
makes them slower than a batch of one speaker that is as large: that one bounds what could be saved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from recipes.bench import markdown
from recipes.librispeech_mini.throughput import kind_of
from tts_meta.adapt import SpeakerSentences, acoustic_nll, adaptable
from tts_meta.corpus import Example
from tts_meta.meta import Layout, Problem
from tts_meta.meta.parameters import parameters_of
from tts_meta.models.base import Base, load_base
from tts_meta.models.low_rank import low_rank

FRAMES, SENTENCE, SPEAKERS = 1600, 400, 8
"""Frames of a step and of a sentence; speakers in a batch."""
WHOLE = "every module, whole"
CHOICES: dict[str, tuple[Sequence[str], int]] = {
    WHOLE: (("*",), 0),
    "every module, rank 16": (("*",), 16),
    "decoder and postnet": (("decoder", "postnet"), 0),
    "biases and speaker": (("speaker.mean", "*.bias"), 0),
    "speaker": (("speaker.mean",), 0),
    "durations": (("duration",), 0),
}
"""Patterns of the modules that adapt, and the rank."""


def sentences(base: Base, count: int) -> list[Example]:
    """Random sentences, eight frames a symbol."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, len(base.symbols), (count, SENTENCE // 8), generator=generator)
    mels = torch.randn(count, SENTENCE, base.acoustic.n_mels, generator=generator)
    rows = enumerate(zip(tokens, mels, strict=True))
    return [Example(str(n), "new", row, torch.full_like(row, 8), mel) for n, (row, mel) in rows]


def step_of(base: Base, patterns: Sequence[str], rank: int, frames: int) -> Callable[[], Tensor]:
    """The gradient of an inner step on so many frames."""
    chosen = adaptable(base).select(patterns)
    model, moves = low_rank(base.acoustic, chosen, rank) if rank else (base.acoustic, chosen)
    problem = Problem(model, acoustic_nll(base.acoustic), Layout.of(model, moves.modules), Layout.of(model, ()))
    point = parameters_of(model, problem.adapted)[None].detach().requires_grad_()
    data = SpeakerSentences(base, sentences(base, frames // SENTENCE), chosen.names).task(None, frames, 0).at(0)

    def step() -> Tensor:
        return torch.autograd.grad(problem.nll(point, torch.zeros(0), [data]).sum(), point, materialize_grads=True)[0]

    return step


def seconds_each(steps: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """Median seconds of each, in turns, so that what else the machine does falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if turn:  # the first is warming up
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed, after one that is not")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    base = load_base()
    base.acoustic.requires_grad_(False)
    steps = {name: step_of(base, *choice, FRAMES) for name, choice in CHOICES.items()}
    cost = seconds_each(steps, arguments.steps)
    print(f"**An inner step on {FRAMES:,} frames, {torch.get_num_threads()} threads**\n")
    rows = [[name, f"{value:.2f}", f"{cost[WHOLE] / value:.2f}"] for name, value in cost.items()]
    print(markdown(["what adapts", "seconds", "times as fast"], rows))

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        steps[WHOLE]()
    totals: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = kind_of(event.key.lower())
        totals[kind] = totals.get(kind, 0.0) + event.self_cpu_time_total
    shares = sorted(((time_of / sum(totals.values()), kind) for kind, time_of in totals.items()), reverse=True)
    print("**A step of every module by kind of operation**\n")
    print(markdown(["operation", "share of the time"], [[kind, f"{100 * share:.0f} %"] for share, kind in shares]))

    batches = {name: step_of(base, *CHOICES[name], SPEAKERS * FRAMES) for name in (WHOLE, "biases and speaker")}
    together = seconds_each(batches, max(2, arguments.steps // 4))
    print(f"**{SPEAKERS} speakers: at most so much faster in one batch than one after another**\n")
    rows = [[name, f"{SPEAKERS * cost[name] / value:.2f}"] for name, value in together.items()]
    print(markdown(["what adapts", "times as fast"], rows))


if __name__ == "__main__":
    main()
