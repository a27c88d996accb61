"""Timing, peak memory and table output of the meta-learning cost measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import TextIO


def timed(action: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def median_and_quartiles(values: Sequence[float]) -> str:
    """The median and, in brackets, the quartiles."""
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{median(values):.2f} [{low:.2f}, {high:.2f}]"


def process_status(field: str) -> int:
    """A value of `/proc/self/status`, such as VmHWM, in KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], file: TextIO | None = None) -> None:
    """Print a Markdown table below its title."""
    lines = [f"{title}:", "", *("| " + " | ".join(row) + " |" for row in [head, *rows]), ""]
    lines.insert(3, "| --- |" + " ---: |" * (len(head) - 1))
    print("\n".join(lines), file=file, flush=True)
