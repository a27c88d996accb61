"""Timing of steps, and shares of CPU time by kind of operation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from torch.profiler import ProfilerActivity, profile

from recipes.recipe_io import markdown_table

KINDS = (
    ("LSTM", ("rnn", "lstm")),
    ("convolution", ("conv",)),
    ("matrix product", ("addmm", "bmm", "aten::mm", "baddbmm", "linear")),
    ("optimiser and average", ("adam", "lerp", "foreach", "norm_")),
)


def seconds_each(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each step. Steps alternate, so other load of the machine affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if round_number:  # the first round is a warm-up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def kind_of(operation: str) -> str:
    """Return the kind of an operation from its name in the profile."""
    return next((kind for kind, parts in KINDS if any(part in operation for part in parts)), "other")


def profile_table(step: Callable[[], object], times: int = 1) -> str:
    """Return a Markdown table of the shares of CPU time by kind of operation, over `times` steps, the largest first."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(times):
            step()
    totals: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = kind_of(event.key.lower())
        totals[kind] = totals.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(totals.values())
    order = sorted(totals, key=lambda kind: -totals[kind])
    return markdown_table(
        ["operation", "share of CPU time"], [[kind, f"{100 * totals[kind] / total:.0f} %"] for kind in order]
    )
