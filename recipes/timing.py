"""What steps cost, and on what kinds of operation the time goes."""

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
    """Median seconds of each, in turns, so that what else the machine does falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if turn:  # the first is warming up
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def kind_of(operation: str) -> str:
    """The kind of operation that a name in the profile belongs to."""
    return next((kind for kind, parts in KINDS if any(part in operation for part in parts)), "everything else")


def profile_table(step: Callable[[], object], times: int = 1) -> str:
    """Shares of the CPU time of so many steps by kind of operation, the largest first; Markdown."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(times):
            step()
    totals: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = kind_of(event.key.lower())
        totals[kind] = totals.get(kind, 0.0) + event.self_cpu_time_total
    whole = sum(totals.values())
    order = sorted(totals, key=lambda kind: -totals[kind])
    return markdown_table(
        ["operation", "share of the time"], [[kind, f"{100 * totals[kind] / whole:.0f} %"] for kind in order]
    )
